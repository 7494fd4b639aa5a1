//! Renders map tiles of an invented world: noise for terrain, lit from the north-west.
//!
//! Pixels are a pure function of the tile address and must not differ between
//! architectures or C libraries. So the arithmetic is integers plus the float
//! operations that IEEE 754 rounds exactly (`+ - * /` and square root): no
//! `sin`, `exp` or `powf`, which each libm rounds its own way.

use std::fmt;

/// Red, green and blue of a pixel.
pub type Rgb = [u8; 3];

/// Width and height of a tile in pixels.
pub const SIZE: u32 = 256;
/// The deepest zoom level served.
pub const MAX_ZOOM: u8 = 18;

/// Lattice cells across the world in the coarsest octave, as a power of two.
const BASE_CELLS_LOG2: u8 = 2;
/// Octaves at zoom 0; each zoom level after it adds one, so detail never runs out.
const BASE_OCTAVES: u8 = 6;
/// Terrain below this height is under water.
const SEA_LEVEL: f64 = 0.5;

/// The address of a tile in the usual slippy-map scheme: at zoom `z` the world
/// is `2^z` tiles wide and high, counted from the north-west corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileId {
    z: u8,
    x: u32,
    y: u32,
}

/// An address outside the world or deeper than [`MAX_ZOOM`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TileError {
    Zoom,
    /// Holds the number of tiles across the world at the requested zoom level.
    Coordinates(u32),
}

impl fmt::Display for TileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zoom => write!(f, "zoom must be from 0 to {MAX_ZOOM}"),
            Self::Coordinates(across) => {
                write!(f, "x and y must be from 0 to {} at this zoom", across - 1)
            }
        }
    }
}

impl std::error::Error for TileError {}

impl TileId {
    pub fn new(z: u8, x: u32, y: u32) -> Result<Self, TileError> {
        if z > MAX_ZOOM {
            return Err(TileError::Zoom);
        }
        let across = 1 << z;
        if x >= across || y >= across {
            return Err(TileError::Coordinates(across));
        }
        Ok(Self { z, x, y })
    }

    /// Names this tile as drawn by this version of the renderer.
    pub fn etag(self) -> String {
        let Self { z, x, y } = self;
        format!("\"{}-{z}-{x}-{y}\"", env!("CARGO_PKG_VERSION"))
    }
}

/// Draws a tile and encodes it as PNG.
pub fn render_png(tile: TileId) -> Result<Vec<u8>, png::EncodingError> {
    let mut encoded = Vec::new();
    let mut encoder = png::Encoder::new(&mut encoded, SIZE, SIZE);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .write_header()?
        .write_image_data(render(tile).as_flattened())?;
    Ok(encoded)
}

/// Draws a tile: its pixels row by row, each red, green and blue.
pub fn render(tile: TileId) -> Vec<Rgb> {
    // One row and column more than the tile, for slopes at its far edges.
    let side = SIZE + 1;
    let (left, top) = (tile.x * SIZE, tile.y * SIZE);
    let heights: Vec<f64> = (0..side)
        .flat_map(|y| (0..side).map(move |x| height(tile.z, left + x, top + y)))
        .collect();

    let pixel = |x: u32, y: u32| {
        let at = (y * side + x) as usize;
        let here = heights[at];
        let east = heights[at + 1] - here;
        let south = heights[at + side as usize] - here;
        let colour = shade(ground(here), light(tile.z, here, east, south));
        if x == 0 || y == 0 {
            grid_line(colour)
        } else {
            colour
        }
    };
    (0..SIZE)
        .flat_map(|y| (0..SIZE).map(move |x| pixel(x, y)))
        .collect()
}

/// Terrain height, from 0 to 1, at a pixel of the whole world at zoom `z`.
///
/// Every octave halves the cells and the strength of the last. The world wraps
/// from east to west.
fn height(z: u8, x: u32, y: u32) -> f64 {
    let world_log2 = z + 8; // the world is 256 * 2^z pixels wide
    let (mut sum, mut total, mut strength) = (0.0, 0.0, 1.0);
    for octave in 0..BASE_OCTAVES + z {
        let cells_log2 = BASE_CELLS_LOG2 + octave;
        sum += strength * noise(octave, cells_log2, world_log2, x, y);
        total += strength;
        strength *= 0.5;
    }
    sum / total
}

/// One octave of value noise, from 0 to 1.
fn noise(octave: u8, cells_log2: u8, world_log2: u8, x: u32, y: u32) -> f64 {
    // The cell is the whole part of `x * cells / world`, the position within
    // it the fraction; both are exact.
    let split = |pixel: u32| {
        let scaled = u64::from(pixel) << cells_log2;
        let cell = scaled >> world_log2;
        let within = (scaled - (cell << world_log2)) as f64 / (1_u64 << world_log2) as f64;
        (cell, within * within * (3.0 - 2.0 * within))
    };
    let (cell_x, blend_x) = split(x);
    let (cell_y, blend_y) = split(y);
    let corner = |dx: u64, dy: u64| {
        let wrapped = (cell_x + dx) & ((1 << cells_log2) - 1);
        lattice(octave, wrapped, cell_y + dy)
    };
    let mix = |from: f64, to: f64, blend: f64| from + (to - from) * blend;
    mix(
        mix(corner(0, 0), corner(1, 0), blend_x),
        mix(corner(0, 1), corner(1, 1), blend_x),
        blend_y,
    )
}

/// A fixed pseudo-random number from 0 to 1 for a lattice point (splitmix64's mixer).
fn lattice(octave: u8, x: u64, y: u64) -> f64 {
    let mut bits = (u64::from(octave) << 58) ^ (x << 29) ^ y;
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// The colour of level ground at a height: deep water to snow.
fn ground(height: f64) -> [f64; 3] {
    const STOPS: [(f64, [f64; 3]); 7] = [
        (0.25, [16.0, 42.0, 84.0]),
        (0.49, [92.0, 156.0, 196.0]),
        (SEA_LEVEL, [226.0, 212.0, 160.0]),
        (0.52, [128.0, 168.0, 88.0]),
        (0.62, [60.0, 112.0, 60.0]),
        (0.70, [124.0, 104.0, 84.0]),
        (0.78, [246.0, 246.0, 248.0]),
    ];
    let above = STOPS.partition_point(|(stop, _)| *stop <= height);
    match above {
        0 => STOPS[0].1,
        n if n == STOPS.len() => STOPS[n - 1].1,
        n => {
            let ((low, from), (high, to)) = (STOPS[n - 1], STOPS[n]);
            let blend = (height - low) / (high - low);
            std::array::from_fn(|i| from[i] + (to[i] - from[i]) * blend)
        }
    }
}

/// How brightly a slope is lit, 1 being level ground. Water is flat.
fn light(z: u8, height: f64, east: f64, south: f64) -> f64 {
    if height < SEA_LEVEL {
        return 1.0;
    }
    // A pixel covers half the ground at each zoom level; undo that here.
    let relief = 12.0 * f64::from(1_u32 << z);
    let (east, south) = (east * relief, south * relief);
    let facing = (1.0 + 0.7 * (east + south)) / (1.0 + east * east + south * south).sqrt();
    facing.clamp(0.35, 1.25)
}

/// Lights a colour and rounds it to bytes.
fn shade(colour: [f64; 3], light: f64) -> Rgb {
    // A float cast to an integer saturates, so no value can wrap round.
    colour.map(|channel| (channel * light + 0.5) as u8)
}

/// Darkens the first row and column, so that tile borders show.
fn grid_line(colour: Rgb) -> Rgb {
    colour.map(|channel| channel / 4 * 3)
}

#[cfg(test)]
mod tests;
