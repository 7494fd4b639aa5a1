fn main() {
    println!("fourcc {}", v4l::FourCC::new(b"YUYV"));
}
