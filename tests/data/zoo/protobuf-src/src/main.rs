mod zoo {
    include!(concat!(env!("OUT_DIR"), "/zoo.rs"));
}

fn main() {
    println!("legs {}", zoo::Animal { name: "okapi".into(), legs: 4 }.legs);
}
