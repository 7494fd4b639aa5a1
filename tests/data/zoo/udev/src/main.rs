fn main() -> std::io::Result<()> {
    let mut list = udev::Enumerator::new()?;
    list.match_subsystem("no-such-subsystem")?;
    println!("devices {}", list.scan_devices()?.count());
    Ok(())
}
