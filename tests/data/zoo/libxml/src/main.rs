fn main() {
    let document = libxml::parser::Parser::default().parse_string("<zoo><okapi/></zoo>").expect("XML");
    println!("root {}", document.get_root_element().expect("root").get_name());
}
