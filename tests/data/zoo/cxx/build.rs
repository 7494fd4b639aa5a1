fn main() {
    cxx_build::bridge("src/main.rs").file("src/zoo.cc").std("c++17").compile("zoo");
}
