#[global_allocator]
static ALLOCATOR: jemallocator::Jemalloc = jemallocator::Jemalloc;

fn main() {
    println!("{} bytes", "multi-arch".repeat(1000).len());
}
