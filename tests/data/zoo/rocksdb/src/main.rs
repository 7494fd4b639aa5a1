fn main() -> Result<(), rocksdb::Error> {
    let path = std::env::temp_dir().join("zoo-rocksdb");
    let database = rocksdb::DB::open_default(path)?;
    database.put(b"answer", b"42")?;
    let value = database.get(b"answer")?.expect("a value");
    println!("value {}", String::from_utf8_lossy(&value));
    Ok(())
}
