fn main() {
    let (major, _, _) = zmq::version();
    let _context = zmq::Context::new();
    println!("zmq {major}");
}
