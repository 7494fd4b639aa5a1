fn main() {
    let pattern = onig::Regex::new("a(?=rch)").expect("pattern");
    println!("matched {}", pattern.find("multi-arch").is_some());
}
