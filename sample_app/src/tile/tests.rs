use super::*;

fn tile(z: u8, x: u32, y: u32) -> TileId {
    TileId::new(z, x, y).unwrap()
}

/// FNV-1a, to pin many pixels in one number.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn addresses_are_bounded_by_zoom() {
    assert!(TileId::new(0, 0, 0).is_ok());
    assert_eq!(TileId::new(0, 1, 0), Err(TileError::Coordinates(1)));
    assert!(TileId::new(3, 7, 7).is_ok());
    assert_eq!(TileId::new(3, 8, 0), Err(TileError::Coordinates(8)));
    assert_eq!(TileId::new(3, 0, 8), Err(TileError::Coordinates(8)));
    let last = (1 << MAX_ZOOM) - 1;
    assert!(TileId::new(MAX_ZOOM, last, last).is_ok());
    assert_eq!(TileId::new(MAX_ZOOM + 1, 0, 0), Err(TileError::Zoom));
    assert_eq!(TileId::new(u8::MAX, 0, 0), Err(TileError::Zoom));
    assert_eq!(
        TileError::Coordinates(8).to_string(),
        "x and y must be from 0 to 7 at this zoom"
    );
}

#[test]
fn png_decodes_to_the_pixels_drawn() {
    let tile = tile(2, 1, 2);
    let png = render_png(tile).unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(png))
        .read_info()
        .unwrap();
    let mut decoded = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut decoded).unwrap();
    assert_eq!((info.width, info.height), (SIZE, SIZE));
    assert_eq!(info.color_type, png::ColorType::Rgb);
    assert_eq!(decoded, render(tile).as_flattened());
}

/// The same on every architecture, in debug and release: these numbers are the
/// sample's proof that a cross-compiled binary computes what a native one does.
#[test]
fn pixels_are_pinned() {
    let world = render(tile(0, 0, 0));
    for (x, y, colour) in [
        (0, 0, [117, 108, 99]),
        (128, 48, [73, 127, 168]),
        (190, 128, [255, 255, 255]),
        (120, 190, [88, 126, 76]),
    ] {
        assert_eq!(world[y * SIZE as usize + x], colour, "at {x},{y}");
    }
    for (z, x, y, pinned) in [
        (0, 0, 0, 0x560b_f005_56cc_c6fb),
        (5, 19, 19, 0x0715_0357_6659_7e50),
        (MAX_ZOOM, 157_286, 157_286, 0x7de2_768c_9326_89bf),
    ] {
        let found = fingerprint(render(tile(z, x, y)).as_flattened());
        assert_eq!(found, pinned, "{z}/{x}/{y}: {found:#018x}");
    }
}

#[test]
fn the_world_has_sea_and_land() {
    let heights: Vec<f64> = (0..SIZE * SIZE)
        .map(|i| height(0, i % SIZE, i / SIZE))
        .collect();
    assert!(heights.iter().all(|h| (0.0..=1.0).contains(h)));
    let sea = heights.iter().filter(|h| **h < SEA_LEVEL).count();
    let share = sea as f64 / heights.len() as f64;
    assert!((0.3..0.7).contains(&share), "{share} of the world is sea");
}

#[test]
fn the_world_wraps_from_east_to_west() {
    for z in [0, 4, MAX_ZOOM] {
        let width = SIZE << z;
        for y in [0, 77, 255] {
            assert_eq!(height(z, 0, y), height(z, width, y));
        }
    }
}

#[test]
fn zooming_in_adds_detail_without_moving_the_terrain() {
    for z in [0, 3, 10] {
        for (x, y) in [(3, 250), (100, 31), (255, 255)] {
            let (coarse, fine) = (height(z, x, y), height(z + 1, 2 * x, 2 * y));
            // One more octave, each half as strong as the last.
            let most = 1.0 / f64::from(1_u32 << (BASE_OCTAVES + z));
            assert!((coarse - fine).abs() <= most, "{coarse} and {fine}");
        }
    }
}

#[test]
fn slopes_facing_the_light_are_brighter() {
    let level = light(0, 0.6, 0.0, 0.0);
    assert_eq!(level, 1.0);
    // Ground that rises to the south-east faces north-west.
    assert!(light(0, 0.6, 0.01, 0.01) > level);
    assert!(light(0, 0.6, -0.01, -0.01) < level);
    // Water is level whatever lies beneath, and twice the zoom is half the step.
    assert_eq!(light(0, 0.4, 0.3, 0.3), 1.0);
    assert_eq!(light(1, 0.6, 0.005, 0.0), light(0, 0.6, 0.01, 0.0));
}

#[test]
fn colours_are_interpolated_between_stops_and_flat_beyond_them() {
    assert_eq!(ground(0.0), [16.0, 42.0, 84.0]);
    assert_eq!(ground(0.37), [54.0, 99.0, 140.0]);
    assert_eq!(ground(SEA_LEVEL), [226.0, 212.0, 160.0]);
    assert_eq!(ground(1.0), [246.0, 246.0, 248.0]);
    assert_eq!(shade([250.0, 100.0, 0.4], 1.25), [255, 125, 1]);
}
