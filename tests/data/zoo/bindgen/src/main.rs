mod bindings {
    #![allow(non_upper_case_globals, non_camel_case_types, dead_code)]
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

fn main() {
    // The size of a C long is the target's, not the build machine's: 8 bytes on 64-bit platforms.
    let right = std::mem::size_of::<bindings::pair>() == 2 * std::mem::size_of::<usize>();
    println!("answer {} bits {right}", bindings::ANSWER);
}
