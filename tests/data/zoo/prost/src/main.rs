use prost::Message;

mod zoo {
    include!(concat!(env!("OUT_DIR"), "/zoo.rs"));
}

fn main() {
    let animal = zoo::Animal { name: "okapi".into(), legs: 4, born: None };
    let bytes = animal.encode_to_vec();
    let back = zoo::Animal::decode(&bytes[..]).expect("decoded");
    println!("legs {} in {} bytes", back.legs, bytes.len());
}
