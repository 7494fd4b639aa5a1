fn main() {
    println!("cards {}", alsa::card::Iter::new().count());
}
