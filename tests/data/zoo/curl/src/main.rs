fn main() {
    let version = curl::Version::get();
    let https = version.protocols().any(|name| name == "https");
    println!("https {https}");
}
