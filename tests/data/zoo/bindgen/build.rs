use std::path::PathBuf;

fn main() {
    let bindings = bindgen::Builder::default().header("pair.h").generate().expect("bindings");
    let path = PathBuf::from(std::env::var_os("OUT_DIR").expect("OUT_DIR")).join("bindings.rs");
    bindings.write_to_file(path).expect("written");
}
