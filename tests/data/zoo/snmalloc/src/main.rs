#[global_allocator]
static ALLOCATOR: snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc;

fn main() {
    println!("{} bytes", "multi-arch".repeat(1000).len());
}
