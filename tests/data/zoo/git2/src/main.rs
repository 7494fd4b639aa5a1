fn main() -> Result<(), git2::Error> {
    let path = std::env::temp_dir().join("zoo.git");
    let repository = git2::Repository::init_bare(path)?;
    let version = git2::Version::get();
    assert!(version.https() && version.ssh());
    println!("bare {}", repository.is_bare());
    Ok(())
}
