#[cxx::bridge]
mod bridge {
    unsafe extern "C++" {
        include!("cxx-zoo/src/zoo.h");
        fn length(text: &str) -> Result<usize>;
    }
}

fn main() {
    assert!(bridge::length("").is_err(), "a C++ exception becomes an error");
    println!("length {}", bridge::length("multi-arch").expect("length"));
}
