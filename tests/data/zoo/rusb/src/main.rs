fn main() {
    println!("libusb {}", rusb::version().major());
}
