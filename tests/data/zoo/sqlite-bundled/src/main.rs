fn main() -> rusqlite::Result<()> {
    let database = rusqlite::Connection::open_in_memory()?;
    database.execute_batch("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (20), (22);")?;
    let sum: i64 = database.query_row("SELECT sum(n) FROM t", [], |row| row.get(0))?;
    println!("sum {sum}");
    Ok(())
}
