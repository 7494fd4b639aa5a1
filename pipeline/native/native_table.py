"""The native crate table: one row per crate and way of building it. To add a crate, add a row.

Rows of crates in the zoo (`tests/data/zoo`) were checked by building them; the results by platform are in
`docs/targets-and-native-libraries.md`. All other rows come from the crates' documentation and build scripts,
with names of packages that every supported Debian release has, and are unproven: a wrong name shows up as a
package that apt does not find, or a library that the linker does not find. `docs/native-crates.md`, made by
`make docs`, says which rows are proven. Crates that build their own copy
if they find no library get no library.

The libraries of the final image are not in the table: the packages of those that the programs link are added
to the image (see `debian.py`), and their names depend on the release.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.targets import BY_PLATFORM, Libc


@dataclass(frozen=True)
class Native:
    """The needs of one crate under one condition.

    Attributes:
        crate: name of the crate.
        why: the purpose, for messages.
        when: features that must all be enabled.
        without: features that must all be disabled.
        unless: crates that must not be in the graph.
        platforms: platforms the row applies to; empty means all.
        libc: C library the row applies to; None means all.
        host: Debian packages of the build platform.
        target: Debian packages of the target, to compile and link with.
        loaded: Debian packages of the final image that programs load or start; linked libraries are found by
            reading the programs.
        cxx: whether every user of the crate compiles C++.
        env: build variables; names and values may use {triple}, {low} (with underscores), {upper}, {tools},
            {multiarch}, and the compilers {cc} and {cxx}.
        links: linker names (`-l<name>`) that `target` provides.
        tool: whether it is a build tool, whose output belongs to the crates that use it.
        generic: whether the row applies only to users of the tool without a row in the table.
        impossible: why the crate cannot be built; empty if it can.
        advice: how to avoid the system library, or what to do about `impossible`.
    """

    crate: str
    why: str
    when: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    libc: Libc | None = None
    host: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()
    cxx: bool = False
    env: tuple[tuple[str, str], ...] = ()
    links: tuple[str, ...] = ()
    tool: bool = False
    generic: bool = False
    impossible: str = ""
    advice: str = ""


def _system(
    crate: str,
    target: str,
    links: str,
    without: str = "",
    when: str = "",
    advice: str = "",
    loaded: str = "",
) -> Native:
    """Return the row of a crate that links a system library found by pkg-config."""
    return Native(
        crate, "links the system's library", tuple(when.split()), tuple(without.split()),
        target=tuple(target.split()), loaded=tuple(loaded.split()), links=tuple(links.split()),
        advice=advice or (f"switch on its feature {without.split()[0]}" if without else ""),
    )  # fmt: skip


def _builds(
    crate: str, host: str, why: str = "builds its own copy", cxx: bool = False, when: str = ""
) -> Native:
    """Return the row of a crate that compiles its own copy of a library with more than a C compiler."""
    return Native(crate, why, tuple(when.split()), host=tuple(host.split()), cxx=cxx)


_BIG_PAGES = ("linux/arm64", "linux/ppc64le")  # kernels with pages of up to 64 KiB
_X86 = ("linux/amd64", "linux/386")
_BITS32 = ("linux/arm/v7", "linux/386")
_PREBUILT = ("linux/amd64", "linux/arm64")
_NO_PREBUILT = tuple(platform for platform in BY_PLATFORM if platform not in _PREBUILT)
_NOT_X86 = tuple(platform for platform in BY_PLATFORM if platform not in _X86)

_CMAKE = "cmake make"
_AUTOTOOLS = "autoconf automake libtool make"
_CLANG = "libclang-dev"
_PROTOC = ("protobuf-src", "protoc-bin-vendored", "protox")

_PLAIN_TOOLS = (
    ("HOST_CC", "gcc"), ("HOST_CXX", "g++"),
    ("CC", "{cc}"), ("CXX", "{cxx}"), ("AR", "{tools}-ar"), ("RANLIB", "{tools}-ranlib"),
    ("STRIP", "{tools}-strip"),
)  # fmt: skip
"""Variables for builds that read only the plain names; `HOST_CC` is the compiler of the build platform."""

# fmt: off
NATIVES: tuple[Native, ...] = (
    # Build tools. clang-sys looks for libclang.so; prost-build runs `protoc` and needs its .proto files.
    Native("clang-sys", "bindgen reads headers with libclang", host=(_CLANG,), tool=True),
    Native("cmake", "runs cmake, whose projects use C++ by default",
           host=tuple(_CMAKE.split()), cxx=True, tool=True, generic=True),
    Native("autotools", "runs configure and make", host=tuple(_AUTOTOOLS.split()), tool=True, generic=True),
    Native("prost-build", "runs protoc", unless=_PROTOC, host=("protobuf-compiler", "libprotobuf-dev")),
    Native("protoc", "runs protoc", unless=_PROTOC, host=("protobuf-compiler", "libprotobuf-dev")),
    Native("protobuf-src", "builds protoc", host=tuple(_CMAKE.split()), cxx=True),
    Native("nasm-rs", "runs nasm", platforms=_X86, host=("nasm",), tool=True),
    Native("cxx-build", "compiles C++", cxx=True, tool=True),
    Native("cxx", "compiles C++", cxx=True),
    Native("link-cplusplus", "links the C++ library", cxx=True),
    Native("capnpc", "runs capnp", host=("capnproto",)),
    Native("flatc-rust", "runs flatc", host=("flatbuffers-compiler",)),

    # TLS and cryptography
    Native("openssl-sys", "links the system's OpenSSL",
           without=("vendored", "aws-lc", "aws-lc-fips", "unstable_boringssl"),
           target=("libssl-dev",), links=("ssl", "crypto"),
           advice="switch on the `vendored` feature of openssl"),
    Native("openssl-src", "builds OpenSSL: its Configure is Perl", host=("perl", "make")),
    Native("ring", "compiles its bundled C and assembly"),
    # Its cc builder covers the platforms with bindings; all others use cmake and bindgen.
    Native("aws-lc-sys", "compiles its bundled C and assembly"),
    Native("aws-lc-sys", "builds with cmake on platforms without source lists",
           platforms=("linux/s390x", "linux/loong64"),
           host=tuple(_CMAKE.split())),
    Native("aws-lc-fips-sys", "builds the FIPS module, partly in Go and Perl",
           host=("cmake", "make", "golang-go", "perl"), cxx=True),
    Native("boring-sys", "patches BoringSSL with git and builds it with cmake",
           host=(*_CMAKE.split(), "git"), cxx=True),
    Native("mbedtls-sys-auto", "builds Mbed TLS with cmake", host=tuple(_CMAKE.split())),
    Native("libsodium-sys", "builds libsodium with configure", without=("use-pkg-config",), host=("make",)),
    _system("libsodium-sys", "libsodium-dev", "sodium", when="use-pkg-config",
            advice="switch off its feature use-pkg-config"),
    Native("libsodium-sys-stable", "builds libsodium with configure", without=("use-pkg-config",),
           host=("make",)),
    _system("libsodium-sys-stable", "libsodium-dev", "sodium", when="use-pkg-config",
            advice="switch off its feature use-pkg-config"),
    _system("nettle-sys", "nettle-dev libgmp-dev", "nettle hogweed gmp"),
    _system("gpgme-sys", "libgpgme-dev", "gpgme", loaded="gpg"),
    _system("libgpg-error-sys", "libgpg-error-dev", "gpg-error"),
    _system("libgcrypt-sys", "libgcrypt20-dev", "gcrypt"),
    _system("tss-esapi-sys", "libtss2-dev",
            "tss2-esys tss2-mu tss2-tctildr"),
    _system("pcsc-sys", "libpcsclite-dev", "pcsclite"),
    # When cross-compiling, it needs the implementation to be named.
    Native("libgssapi-sys", "links MIT Kerberos", target=("libkrb5-dev",),
           env=(("LIBGSSAPI_IMPL", "mit"),), links=("gssapi_krb5", "krb5")),
    _system("cross-krb5", "libkrb5-dev", "gssapi_krb5"),
    _system("sasl2-sys", "libsasl2-dev", "sasl2",
            without="vendored", loaded="libsasl2-modules libsasl2-modules-gssapi-mit"),
    _system("openldap", "libldap-dev", "ldap lber"),
    _system("pam-sys", "libpam0g-dev", "pam"),
    _system("selinux-sys", "libselinux1-dev", "selinux"),
    _system("libseccomp-sys", "libseccomp-dev", "seccomp"),
    _system("capng", "libcap-ng-dev", "cap-ng"),

    # Databases
    _system("libsqlite3-sys", "libsqlite3-dev", "sqlite3",
            without="bundled bundled-sqlcipher bundled-sqlcipher-vendored-openssl sqlcipher in_gecko",
            advice="switch on the `bundled` feature of rusqlite or libsqlite3-sys"),
    _system("libsqlite3-sys", "libsqlcipher-dev", "sqlcipher", when="sqlcipher",
            without="bundled-sqlcipher"),
    _system("libsqlite3-sys", "libssl-dev", "crypto", when="bundled-sqlcipher",
            without="bundled-sqlcipher-vendored-openssl"),
    # Without its pkg-config feature it runs `pg_config`, which reports the build platform.
    Native("pq-sys", "links the system's libpq", without=("bundled", "bundled_without_openssl"),
           target=("libpq-dev",), env=(("PQ_LIB_DIR_{upper}", "/usr/lib/{multiarch}"),),
           links=("pq",), advice="switch on the `bundled` feature of pq-sys"),
    _system("mysqlclient-sys", "libmariadb-dev", "mysqlclient mariadb", without="bundled"),
    _builds("mysqlclient-src", "cmake make bison perl", cxx=True),
    Native("librocksdb-sys", "compiles RocksDB, which is C++", cxx=True),
    Native("libduckdb-sys", "compiles DuckDB, which is C++", when=("bundled",), cxx=True),
    Native("libduckdb-sys", "links DuckDB", without=("bundled",), impossible="Debian has no DuckDB",
           advice="switch on the `bundled` feature of duckdb"),
    _builds("leveldb-sys", _CMAKE, cxx=True),
    # Its configure reads no variable with a triple, and would compile with the build platform's `cc`.
    Native("rdkafka-sys", "builds librdkafka with configure", without=("cmake-build", "dynamic-linking"),
           host=("make", "bash"), cxx=True, env=_PLAIN_TOOLS),
    _builds("rdkafka-sys", "cmake", "builds librdkafka with cmake", cxx=True, when="cmake-build"),
    # Its cmake build defines WITH_OAUTHBEARER_OIDC as 0, but its code only checks whether it is defined.
    Native("rdkafka-sys", "librdkafka's cmake build reads curl's header", when=("cmake-build", "ssl"),
           without=("curl", "curl-static"), target=("libcurl4-openssl-dev",)),
    _system("rdkafka-sys", "librdkafka-dev", "rdkafka", when="dynamic-linking",
            advice="switch off its feature dynamic-linking"),
    _system("odbc-sys", "unixodbc-dev", "odbc"),
    _system("freetds-sys", "freetds-dev", "sybdb ct"),
    _system("gdal-sys", "libgdal-dev", "gdal"),
    _system("geos-sys", "libgeos-dev", "geos_c", without="static"),
    _system("hdf5-sys", "libhdf5-dev", "hdf5", without="static"),
    _system("hdf5-metno-sys", "libhdf5-dev", "hdf5", without="static"),
    _system("netcdf-sys", "libnetcdf-dev", "netcdf", without="static"),

    # Compression
    _system("zstd-sys", "libzstd-dev", "zstd", when="pkg-config",
            advice="switch off its feature pkg-config"),
    Native("zstd-sys", "builds zstd with cmake", when=("cmake",), host=tuple(_CMAKE.split()), cxx=True),
    Native("libz-sys", "compiles its bundled zlib", without=("zlib-ng",)),
    Native("libz-sys", "builds zlib-ng with cmake", when=("zlib-ng",), host=tuple(_CMAKE.split())),
    Native("libz-ng-sys", "builds zlib-ng with cmake", host=tuple(_CMAKE.split())),
    Native("bzip2-sys", "compiles its bundled bzip2", links=("bz2",)),
    Native("lzma-sys", "compiles its bundled liblzma"),
    Native("liblzma-sys", "compiles its bundled liblzma"),
    Native("lz4-sys", "compiles its bundled lz4"),
    _system("snappy-sys", "libsnappy-dev", "snappy"),
    _system("libarchive3-sys", "libarchive-dev", "archive"),
    _builds("blosc-src", "", cxx=True),

    # Networks
    Native("libgit2-sys", "compiles its bundled libgit2"),
    Native("libssh2-sys", "compiles its bundled libssh2"),
    Native("libnghttp2-sys", "compiles its bundled nghttp2"),
    Native("curl-sys", "compiles its bundled curl"),
    _system("curl-sys", "libkrb5-dev", "gssapi_krb5", when="spnego",
            advice="switch off its feature spnego"),
    Native("zeromq-src", "compiles ZeroMQ, which is C++", cxx=True, tool=True),
    _builds("nng-sys", _CMAKE),
    _builds("paho-mqtt-sys", _CMAKE),
    _builds("grpcio-sys", _CMAKE, cxx=True),
    _builds("quiche", _CMAKE, cxx=True, when="boringssl-vendored"),
    _system("pcap", "libpcap-dev", "pcap"),
    _system("netsnmp-sys", "libsnmp-dev", "netsnmp"),
    _system("rdma-sys", "libibverbs-dev librdmacm-dev", "ibverbs rdmacm"),
    _system("ibverbs-sys", "libibverbs-dev", "ibverbs"),
    _builds("libbpf-sys", "make", "builds libbpf"),
    _system("libbpf-sys", "libelf-dev zlib1g-dev", "elf z", without="vendored-libelf"),

    # Memory. jemalloc uses the build platform's page size by default and aborts on kernels with larger pages.
    _builds("tikv-jemalloc-sys", "make"),
    Native("tikv-jemalloc-sys", "pages of up to 64 KiB", platforms=_BIG_PAGES,
           env=(("{upper}_JEMALLOC_SYS_WITH_LG_PAGE", "16"),)),
    _builds("jemalloc-sys", "make"),
    # It reads no variable with a triple, so other platforms are compiled in a separate cargo call.
    Native("jemalloc-sys", "pages of up to 64 KiB", platforms=_BIG_PAGES,
           env=(("JEMALLOC_SYS_WITH_LG_PAGE", "16"),)),
    Native("libmimalloc-sys", "compiles its bundled mimalloc"),
    _builds("snmalloc-sys", _CMAKE, cxx=True, when="build_cmake"),
    Native("snmalloc-sys", "compiles snmalloc, which is C++", when=("build_cc",), cxx=True),
    _system("numa-sys", "libnuma-dev", "numa"),
    _builds("hwlocality-sys", _CMAKE, when="vendored"),
    _system("hwlocality-sys", "libhwloc-dev", "hwloc", without="vendored"),
    _system("tango-mpi-sys", "libopenmpi-dev", "mpi"),
    _system("mpi-sys", "libopenmpi-dev", "mpi"),

    # Text, numbers, languages
    Native("onig_sys", "compiles its bundled Oniguruma"),
    Native("pcre2-sys", "compiles its bundled PCRE2"),
    _builds("expat-sys", _CMAKE, cxx=True),
    Native("libxml", "links libxml2", target=("libxml2-dev",), links=("xml2",)),
    _system("libxslt", "libxslt1-dev", "xslt"),
    _system("magic-sys", "libmagic-dev", "magic", without="bundled"),
    _system("ncurses", "libncurses-dev", "ncursesw ncurses tinfo"),
    _system("rust_icu_sys", "libicu-dev", "icuuc icui18n icudata"),
    _builds("gmp-mpfr-sys", "m4 make diffutils", "builds GMP with configure"),
    _builds("openblas-src", "make gfortran", "builds OpenBLAS", when="static"),
    _system("openblas-src", "libopenblas-dev", "openblas", when="system"),
    _system("netlib-src", "libblas-dev liblapack-dev", "blas lapack", when="system"),
    Native("intel-mkl-src", "links Intel MKL", platforms=_NOT_X86,
           impossible="Intel MKL only exists for x86",
           advice="use openblas-src on this platform (target-specific dependencies in Cargo.toml)"),
    _system("GSL-sys", "libgsl-dev", "gsl gslcblas"),
    _builds("proj-sys", "cmake make sqlite3", cxx=True),
    _builds("z3-sys", _CMAKE, cxx=True, when="bundled"),
    _system("z3-sys", "libz3-dev", "z3", without="bundled"),
    Native("llvm-sys", "links LLVM", without=("no-llvm-linking",), platforms=_NOT_X86,
           impossible="llvm-config reports the build platform's LLVM",
           advice="build this platform with the emulated strategy"),
    Native("v8", "downloads a prebuilt V8", platforms=_NO_PREBUILT,
           impossible="V8 is prebuilt only for amd64 and arm64",
           advice="leave this platform out"),
    Native("v8", "downloads a prebuilt V8", libc=Libc.MUSL,
           impossible="V8 is prebuilt only for glibc", advice="build with libc gnu"),
    _builds("luajit-src", "make", "builds LuaJIT: its generator runs on the build platform"),
    Native("luajit-src", "builds LuaJIT", platforms=_BITS32,
           impossible="LuaJIT's generator has to be a 32-bit program of the build platform",
           advice="use the lua54 feature of mlua, or build this platform with the emulated strategy"),
    _system("mlua-sys", "liblua5.4-dev", "lua5.4", when="lua54", without="vendored"),
    _system("mlua-sys", "liblua5.3-dev", "lua5.3", when="lua53", without="vendored"),
    _system("mlua-sys", "libluajit-5.1-dev", "luajit-5.1", when="luajit",
            without="vendored"),
    _builds("libffi-sys", "make"),
    _system("libffi-sys", "libffi-dev", "ffi", when="system",
            advice="switch off its feature system"),
    _builds("sentencepiece-sys", _CMAKE, cxx=True),
    _builds("esaxx-rs", "", "compiles C++", cxx=True, when="cpp"),
    _builds("whisper-rs-sys", _CMAKE, cxx=True),
    _builds("llama-cpp-sys-2", _CMAKE, cxx=True),
    Native("ort-sys", "downloads a prebuilt ONNX Runtime", when=("download-binaries",),
           platforms=_NO_PREBUILT, impossible="ONNX Runtime is prebuilt only for amd64 and arm64",
           advice="leave this platform out"),
    Native("ort-sys", "downloads a prebuilt ONNX Runtime", when=("download-binaries",), libc=Libc.MUSL,
           impossible="ONNX Runtime is prebuilt only for glibc", advice="build with libc gnu"),
    Native("torch-sys", "links libtorch", platforms=_NOT_X86, impossible="libtorch is prebuilt only for x86",
           advice="leave this platform out, or set LIBTORCH to a copy of this platform"),

    # Devices and the desktop
    _system("alsa-sys", "libasound2-dev", "asound"),
    _system("libpulse-sys", "libpulse-dev", "pulse"),
    _system("jack-sys", "libjack-jackd2-dev", "jack", without="dlopen"),
    _system("portaudio-sys", "portaudio19-dev", "portaudio"),
    _system("libudev-sys", "libudev-dev", "udev"),
    _system("libdbus-sys", "libdbus-1-dev", "dbus-1", without="vendored"),
    _system("libsystemd-sys", "libsystemd-dev", "systemd"),
    Native("libusb1-sys", "compiles its bundled libusb"),
    _system("hidapi", "libudev-dev", "udev", when="linux-static-hidraw"),
    _system("hidapi", "libusb-1.0-0-dev", "usb-1.0", when="linux-static-libusb"),
    _system("hidapi", "libhidapi-dev", "hidapi-hidraw", when="linux-shared-hidraw"),
    _system("hidapi", "libhidapi-dev libusb-1.0-0-dev", "hidapi-libusb",
            when="linux-shared-libusb"),
    _system("v4l-sys", "libv4l-dev", "v4l2 v4lconvert"),
    _system("fuser", "libfuse3-dev", "fuse3", when="libfuse", loaded="fuse3"),
    _system("drm-sys", "libdrm-dev", "drm", when="use_bindgen"),
    _system("gbm-sys", "libgbm-dev", "gbm"),
    _system("input-sys", "libinput-dev", "input"),
    _system("libgphoto2_sys", "libgphoto2-dev", "gphoto2"),
    _system("cups-sys", "libcups2-dev", "cups"),
    _system("x11", "libx11-dev", "X11"),
    _system("xkbcommon", "libxkbcommon-dev", "xkbcommon"),
    _system("wayland-sys", "libwayland-dev", "wayland-client",
            without="dlopen"),
    _system("yeslogic-fontconfig-sys", "libfontconfig-dev", "fontconfig", without="dlopen"),
    Native("yeslogic-fontconfig-sys", "loads fontconfig when it runs", when=("dlopen",),
           loaded=("libfontconfig1",)),
    _system("servo-fontconfig-sys", "libfontconfig-dev", "fontconfig"),
    Native("freetype-sys", "compiles its bundled FreeType as C++", cxx=True),
    _system("glib-sys", "libglib2.0-dev", "glib-2.0"),
    _system("gobject-sys", "libglib2.0-dev", "gobject-2.0"),
    _system("gio-sys", "libglib2.0-dev", "gio-2.0"),
    _system("cairo-sys-rs", "libcairo2-dev", "cairo cairo-gobject"),
    _system("pango-sys", "libpango1.0-dev", "pango-1.0"),
    _system("pangocairo-sys", "libpango1.0-dev", "pangocairo-1.0"),
    _system("gdk-pixbuf-sys", "libgdk-pixbuf-2.0-dev", "gdk_pixbuf-2.0"),
    _system("gtk-sys", "libgtk-3-dev", "gtk-3 gdk-3"),
    _system("gtk4-sys", "libgtk-4-dev", "gtk-4"),
    _system("webkit2gtk-sys", "libwebkit2gtk-4.1-dev", "webkit2gtk-4.1"),
    _system("libsecret-sys", "libsecret-1-dev", "secret-1"),
    _system("gstreamer-sys", "libgstreamer1.0-dev", "gstreamer-1.0"),
    _system("sdl2-sys", "libsdl2-dev", "SDL2", without="bundled"),
    _builds("sdl2-sys", _CMAKE, when="bundled"),
    _builds("glfw-sys", _CMAKE),

    # Images and video
    _system("dav1d-sys", "libdav1d-dev", "dav1d"),
    Native("rav1e", "assembles with nasm on x86", when=("asm",)),
    _system("aom-sys", "libaom-dev", "aom"),
    _system("libvpx-sys", "libvpx-dev", "vpx"),
    _system("ffmpeg-sys-next",
            "libavcodec-dev libavformat-dev libavutil-dev libavfilter-dev libavdevice-dev libswscale-dev "
            "libswresample-dev",
            "avcodec avformat avutil avfilter avdevice swscale swresample", without="build"),
    _builds("ffmpeg-sys-next", "make nasm git", when="build"),
    Native("mozjpeg-sys", "assembles with nasm on x86", platforms=_X86, host=("nasm",)),
    _builds("turbojpeg-sys", "cmake make nasm", when="cmake"),
    Native("libwebp-sys", "compiles its bundled libwebp"),
    _system("libheif-sys", "libheif-dev", "heif", without="embedded-libheif"),
    _system("leptonica-sys", "libleptonica-dev", "lept"),
    _system("tesseract-sys", "libtesseract-dev", "tesseract"),
    Native("opencv", "links OpenCV and reads its headers with libclang", host=("clang",),
           target=("libopencv-dev",),
           cxx=True,
           links=("opencv_core",)),
    _builds("audiopus_sys", _CMAKE, "builds Opus"),
    _system("opusic-sys", "libopus-dev", "opus", without="bundled"),
)
# fmt: on

LINKER_NAMES = {
    "acl": "libacl1-dev",
    "aio": "libaio-dev",
    "attr": "libattr1-dev",
    "blkid": "libblkid-dev",
    "brotlidec": "libbrotli-dev",
    "brotlienc": "libbrotli-dev",
    "bz2": "libbz2-dev",
    "cap": "libcap-dev",
    "cares": "libc-ares-dev",
    "cryptsetup": "libcryptsetup-dev",
    "curl": "libcurl4-openssl-dev",
    "devmapper": "libdevmapper-dev",
    "event": "libevent-dev",
    "expat": "libexpat1-dev",
    "git2": "libgit2-dev",
    "gmp": "libgmp-dev",
    "iconv": "libc6-dev",
    "jemalloc": "libjemalloc-dev",
    "jpeg": "libjpeg-dev",
    "lz4": "liblz4-dev",
    "lzma": "liblzma-dev",
    "mpfr": "libmpfr-dev",
    "nghttp2": "libnghttp2-dev",
    "onig": "libonig-dev",
    "openssl": "libssl-dev",
    "pcre2-8": "libpcre2-dev",
    "png": "libpng-dev",
    "png16": "libpng-dev",
    "protobuf": "libprotobuf-dev",
    "readline": "libreadline-dev",
    "rocksdb": "librocksdb-dev",
    "sensors": "libsensors-dev",
    "ssh2": "libssh2-1-dev",
    "stdc++": "g++",
    "tiff": "libtiff-dev",
    "unwind": "libunwind-dev",
    "uring": "liburing-dev",
    "usb-1.0": "libusb-1.0-0-dev",
    "uuid": "uuid-dev",
    "uv": "libuv1-dev",
    "webp": "libwebp-dev",
    "yaml": "libyaml-dev",
    "z": "zlib1g-dev",
    "zlib": "zlib1g-dev",
    "zmq": "libzmq3-dev",
    "zstd": "libzstd-dev",
}
"""Libraries without a row above, with their package."""
