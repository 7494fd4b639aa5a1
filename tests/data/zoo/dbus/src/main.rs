fn main() {
    let message = dbus::Message::new_method_call("org.zoo", "/", "org.zoo.Keeper", "Feed").expect("message");
    println!("message {}", message.destination().expect("destination"));
}
