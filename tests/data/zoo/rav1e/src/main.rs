use rav1e::prelude::*;

fn main() {
    let config = Config::new().with_encoder_config(EncoderConfig {
        width: 64, height: 64, speed_settings: SpeedSettings::from_preset(10), ..Default::default()
    });
    let mut context: Context<u8> = config.new_context().expect("context");
    context.send_frame(context.new_frame()).expect("frame");
    context.flush();
    let packet = loop {
        match context.receive_packet() {
            Ok(packet) => break packet,
            Err(EncoderStatus::Encoded) => continue,
            Err(status) => panic!("{status}"),
        }
    };
    println!("frame {:?}", packet.frame_type);
}
