"""The builder image, C compilers for each target, and zig."""
