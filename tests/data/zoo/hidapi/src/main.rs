fn main() {
    match hidapi::HidApi::new_without_enumerate() {
        Ok(_) => println!("hidapi ready"),
        Err(error) => println!("hidapi {error}"),
    }
}
