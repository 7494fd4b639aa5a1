fn main() -> Result<(), ssh2::Error> {
    let session = ssh2::Session::new()?;
    session.set_timeout(1000);
    println!("timeout {}", session.timeout());
    Ok(())
}
