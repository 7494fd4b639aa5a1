fn main() {
    #[cfg(feature = "text")]
    println!("{}", itoa::Buffer::new().format(42));
}
