use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use std::time::Duration;

fn main() {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", "127.0.0.1:9")
        .set("log_level", "0")
        .create()
        .expect("a producer");
    let answer = producer.client().fetch_metadata(None, Duration::from_millis(300));
    println!("error {:?}", answer.err().and_then(|error| error.rdkafka_error_code()).expect("no broker"));
}
