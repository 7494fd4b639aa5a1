"""The native crate table: one row per crate and way of building it. To add a crate, add a row.

Rows of crates in the zoo (`tests/data/zoo`) were checked by building them; the results by platform are in
`docs/targets-and-native-libraries.md`. All other rows come from the crates' documentation and build scripts,
with the library names of Debian bookworm, and are untested: a wrong name shows up as a package that apt does
not find, or a library that the linker does not find. Crates that build their own copy if they find no library
get no library, so nothing is added to the image.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.targets import Libc


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
        runtime: Debian packages of the final image.
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
    runtime: tuple[str, ...] = ()
    cxx: bool = False
    env: tuple[tuple[str, str], ...] = ()
    links: tuple[str, ...] = ()
    tool: bool = False
    generic: bool = False
    impossible: str = ""
    advice: str = ""


def _system(
    crate: str, target: str, runtime: str, links: str, without: str = "", when: str = "", advice: str = ""
) -> Native:
    """Return the row of a crate that links a system library found by pkg-config."""
    return Native(
        crate, "links the system's library", tuple(when.split()), tuple(without.split()),
        target=tuple(target.split()), runtime=tuple(runtime.split()), links=tuple(links.split()),
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
_NO_PREBUILT = ("linux/arm/v7", "linux/386", "linux/ppc64le", "linux/s390x", "linux/riscv64")
_NOT_X86 = ("linux/arm64", "linux/arm/v7", "linux/ppc64le", "linux/s390x", "linux/riscv64")

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
           target=("libssl-dev",), runtime=("libssl3",), links=("ssl", "crypto"),
           advice="switch on the `vendored` feature of openssl"),
    Native("openssl-src", "builds OpenSSL: its Configure is Perl", host=("perl", "make")),
    Native("ring", "compiles its bundled C and assembly"),
    # Its cc builder covers the platforms with bindings; all others use cmake and bindgen.
    Native("aws-lc-sys", "compiles its bundled C and assembly"),
    Native("aws-lc-sys", "builds with cmake on platforms without source lists", platforms=("linux/s390x",),
           host=tuple(_CMAKE.split())),
    Native("aws-lc-fips-sys", "builds the FIPS module, partly in Go and Perl",
           host=("cmake", "make", "golang-go", "perl"), cxx=True),
    Native("boring-sys", "patches BoringSSL with git and builds it with cmake",
           host=(*_CMAKE.split(), "git"), cxx=True),
    Native("mbedtls-sys-auto", "builds Mbed TLS with cmake", host=tuple(_CMAKE.split())),
    Native("libsodium-sys", "builds libsodium with configure", without=("use-pkg-config",), host=("make",)),
    _system("libsodium-sys", "libsodium-dev", "libsodium23", "sodium", when="use-pkg-config",
            advice="switch off its feature use-pkg-config"),
    Native("libsodium-sys-stable", "builds libsodium with configure", without=("use-pkg-config",),
           host=("make",)),
    _system("libsodium-sys-stable", "libsodium-dev", "libsodium23", "sodium", when="use-pkg-config",
            advice="switch off its feature use-pkg-config"),
    _system("nettle-sys", "nettle-dev libgmp-dev", "libnettle8 libhogweed6 libgmp10", "nettle hogweed gmp"),
    _system("gpgme-sys", "libgpgme-dev", "libgpgme11 gpg", "gpgme"),
    _system("libgpg-error-sys", "libgpg-error-dev", "libgpg-error0", "gpg-error"),
    _system("libgcrypt-sys", "libgcrypt20-dev", "libgcrypt20", "gcrypt"),
    _system("tss-esapi-sys", "libtss2-dev", "libtss2-esys-3.0.2-0 libtss2-tctildr0 libtss2-mu0",
            "tss2-esys tss2-mu tss2-tctildr"),
    _system("pcsc-sys", "libpcsclite-dev", "libpcsclite1", "pcsclite"),
    # When cross-compiling, it needs the implementation to be named.
    Native("libgssapi-sys", "links MIT Kerberos", target=("libkrb5-dev",), runtime=("libgssapi-krb5-2",),
           env=(("LIBGSSAPI_IMPL", "mit"),), links=("gssapi_krb5", "krb5")),
    _system("cross-krb5", "libkrb5-dev", "libgssapi-krb5-2", "gssapi_krb5"),
    _system("sasl2-sys", "libsasl2-dev", "libsasl2-2 libsasl2-modules libsasl2-modules-gssapi-mit", "sasl2",
            without="vendored"),
    _system("openldap", "libldap-dev", "libldap-2.5-0", "ldap lber"),
    _system("pam-sys", "libpam0g-dev", "libpam0g", "pam"),
    _system("selinux-sys", "libselinux1-dev", "libselinux1", "selinux"),
    _system("libseccomp-sys", "libseccomp-dev", "libseccomp2", "seccomp"),
    _system("capng", "libcap-ng-dev", "libcap-ng0", "cap-ng"),

    # Databases
    _system("libsqlite3-sys", "libsqlite3-dev", "libsqlite3-0", "sqlite3",
            without="bundled bundled-sqlcipher bundled-sqlcipher-vendored-openssl sqlcipher in_gecko",
            advice="switch on the `bundled` feature of rusqlite or libsqlite3-sys"),
    _system("libsqlite3-sys", "libsqlcipher-dev", "libsqlcipher0", "sqlcipher", when="sqlcipher",
            without="bundled-sqlcipher"),
    _system("libsqlite3-sys", "libssl-dev", "libssl3", "crypto", when="bundled-sqlcipher",
            without="bundled-sqlcipher-vendored-openssl"),
    # Without its pkg-config feature it runs `pg_config`, which reports the build platform.
    Native("pq-sys", "links the system's libpq", without=("bundled", "bundled_without_openssl"),
           target=("libpq-dev",), runtime=("libpq5",), env=(("PQ_LIB_DIR_{upper}", "/usr/lib/{multiarch}"),),
           links=("pq",), advice="switch on the `bundled` feature of pq-sys"),
    _system("mysqlclient-sys", "libmariadb-dev", "libmariadb3", "mysqlclient mariadb", without="bundled"),
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
    _system("rdkafka-sys", "librdkafka-dev", "librdkafka1", "rdkafka", when="dynamic-linking",
            advice="switch off its feature dynamic-linking"),
    _system("odbc-sys", "unixodbc-dev", "libodbc2", "odbc"),
    _system("freetds-sys", "freetds-dev", "libsybdb5 libct4", "sybdb ct"),
    _system("gdal-sys", "libgdal-dev", "libgdal32", "gdal"),
    _system("geos-sys", "libgeos-dev", "libgeos-c1v5", "geos_c", without="static"),
    _system("hdf5-sys", "libhdf5-dev", "libhdf5-103-1", "hdf5", without="static"),
    _system("hdf5-metno-sys", "libhdf5-dev", "libhdf5-103-1", "hdf5", without="static"),
    _system("netcdf-sys", "libnetcdf-dev", "libnetcdf19", "netcdf", without="static"),

    # Compression
    _system("zstd-sys", "libzstd-dev", "libzstd1", "zstd", when="pkg-config",
            advice="switch off its feature pkg-config"),
    Native("zstd-sys", "builds zstd with cmake", when=("cmake",), host=tuple(_CMAKE.split()), cxx=True),
    Native("libz-sys", "compiles its bundled zlib", without=("zlib-ng",)),
    Native("libz-sys", "builds zlib-ng with cmake", when=("zlib-ng",), host=tuple(_CMAKE.split())),
    Native("libz-ng-sys", "builds zlib-ng with cmake", host=tuple(_CMAKE.split())),
    Native("bzip2-sys", "compiles its bundled bzip2", links=("bz2",)),
    Native("lzma-sys", "compiles its bundled liblzma"),
    Native("liblzma-sys", "compiles its bundled liblzma"),
    Native("lz4-sys", "compiles its bundled lz4"),
    _system("snappy-sys", "libsnappy-dev", "libsnappy1v5", "snappy"),
    _system("libarchive3-sys", "libarchive-dev", "libarchive13", "archive"),
    _builds("blosc-src", "", cxx=True),

    # Networks
    Native("libgit2-sys", "compiles its bundled libgit2"),
    Native("libssh2-sys", "compiles its bundled libssh2"),
    Native("libnghttp2-sys", "compiles its bundled nghttp2"),
    Native("curl-sys", "compiles its bundled curl"),
    _system("curl-sys", "libkrb5-dev", "libgssapi-krb5-2", "gssapi_krb5", when="spnego",
            advice="switch off its feature spnego"),
    Native("zeromq-src", "compiles ZeroMQ, which is C++", cxx=True, tool=True),
    _builds("nng-sys", _CMAKE),
    _builds("paho-mqtt-sys", _CMAKE),
    _builds("grpcio-sys", _CMAKE, cxx=True),
    _builds("quiche", _CMAKE, cxx=True, when="boringssl-vendored"),
    _system("pcap", "libpcap-dev", "libpcap0.8", "pcap"),
    _system("netsnmp-sys", "libsnmp-dev", "libsnmp40", "netsnmp"),
    _system("rdma-sys", "libibverbs-dev librdmacm-dev", "libibverbs1 librdmacm1", "ibverbs rdmacm"),
    _system("ibverbs-sys", "libibverbs-dev", "libibverbs1", "ibverbs"),
    _builds("libbpf-sys", "make", "builds libbpf"),
    _system("libbpf-sys", "libelf-dev zlib1g-dev", "libelf1 zlib1g", "elf z", without="vendored-libelf"),

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
    _system("numa-sys", "libnuma-dev", "libnuma1", "numa"),
    _builds("hwlocality-sys", _CMAKE, when="vendored"),
    _system("hwlocality-sys", "libhwloc-dev", "libhwloc15", "hwloc", without="vendored"),
    _system("tango-mpi-sys", "libopenmpi-dev", "libopenmpi3", "mpi"),
    _system("mpi-sys", "libopenmpi-dev", "libopenmpi3", "mpi"),

    # Text, numbers, languages
    Native("onig_sys", "compiles its bundled Oniguruma"),
    Native("pcre2-sys", "compiles its bundled PCRE2"),
    _builds("expat-sys", _CMAKE, cxx=True),
    Native("libxml", "links libxml2", target=("libxml2-dev",), runtime=("libxml2",), links=("xml2",)),
    _system("libxslt", "libxslt1-dev", "libxslt1.1", "xslt"),
    _system("magic-sys", "libmagic-dev", "libmagic1", "magic", without="bundled"),
    _system("ncurses", "libncurses-dev", "libncursesw6 libtinfo6", "ncursesw ncurses tinfo"),
    _system("rust_icu_sys", "libicu-dev", "libicu72", "icuuc icui18n icudata"),
    _builds("gmp-mpfr-sys", "m4 make diffutils", "builds GMP with configure"),
    _builds("openblas-src", "make gfortran", "builds OpenBLAS", when="static"),
    _system("openblas-src", "libopenblas-dev", "libopenblas0", "openblas", when="system"),
    _system("netlib-src", "libblas-dev liblapack-dev", "libblas3 liblapack3", "blas lapack", when="system"),
    Native("intel-mkl-src", "links Intel MKL", platforms=_NOT_X86,
           impossible="Intel MKL only exists for x86",
           advice="use openblas-src on this platform (target-specific dependencies in Cargo.toml)"),
    _system("GSL-sys", "libgsl-dev", "libgsl27 libgslcblas0", "gsl gslcblas"),
    _builds("proj-sys", "cmake make sqlite3", cxx=True),
    _builds("z3-sys", _CMAKE, cxx=True, when="bundled"),
    _system("z3-sys", "libz3-dev", "libz3-4", "z3", without="bundled"),
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
    _system("mlua-sys", "liblua5.4-dev", "liblua5.4-0", "lua5.4", when="lua54", without="vendored"),
    _system("mlua-sys", "liblua5.3-dev", "liblua5.3-0", "lua5.3", when="lua53", without="vendored"),
    _system("mlua-sys", "libluajit-5.1-dev", "libluajit-5.1-2", "luajit-5.1", when="luajit",
            without="vendored"),
    _builds("libffi-sys", "make"),
    _system("libffi-sys", "libffi-dev", "libffi8", "ffi", when="system",
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
    _system("alsa-sys", "libasound2-dev", "libasound2", "asound"),
    _system("libpulse-sys", "libpulse-dev", "libpulse0", "pulse"),
    _system("jack-sys", "libjack-jackd2-dev", "libjack-jackd2-0", "jack", without="dlopen"),
    _system("portaudio-sys", "portaudio19-dev", "libportaudio2", "portaudio"),
    _system("libudev-sys", "libudev-dev", "libudev1", "udev"),
    _system("libdbus-sys", "libdbus-1-dev", "libdbus-1-3", "dbus-1", without="vendored"),
    _system("libsystemd-sys", "libsystemd-dev", "libsystemd0", "systemd"),
    Native("libusb1-sys", "compiles its bundled libusb"),
    _system("hidapi", "libudev-dev", "libudev1", "udev", when="linux-static-hidraw"),
    _system("hidapi", "libusb-1.0-0-dev", "libusb-1.0-0", "usb-1.0", when="linux-static-libusb"),
    _system("hidapi", "libhidapi-dev", "libhidapi-hidraw0", "hidapi-hidraw", when="linux-shared-hidraw"),
    _system("hidapi", "libhidapi-dev libusb-1.0-0-dev", "libhidapi-libusb0", "hidapi-libusb",
            when="linux-shared-libusb"),
    _system("v4l-sys", "libv4l-dev", "libv4l-0", "v4l2 v4lconvert"),
    _system("fuser", "libfuse3-dev", "libfuse3-3 fuse3", "fuse3", when="libfuse"),
    _system("drm-sys", "libdrm-dev", "libdrm2", "drm", when="use_bindgen"),
    _system("gbm-sys", "libgbm-dev", "libgbm1", "gbm"),
    _system("input-sys", "libinput-dev", "libinput10", "input"),
    _system("libgphoto2_sys", "libgphoto2-dev", "libgphoto2-6", "gphoto2"),
    _system("cups-sys", "libcups2-dev", "libcups2", "cups"),
    _system("x11", "libx11-dev", "libx11-6", "X11"),
    _system("xkbcommon", "libxkbcommon-dev", "libxkbcommon0", "xkbcommon"),
    _system("wayland-sys", "libwayland-dev", "libwayland-client0 libwayland-server0", "wayland-client",
            without="dlopen"),
    _system("yeslogic-fontconfig-sys", "libfontconfig-dev", "libfontconfig1", "fontconfig", without="dlopen"),
    Native("yeslogic-fontconfig-sys", "loads fontconfig when it runs", when=("dlopen",),
           runtime=("libfontconfig1",)),
    _system("servo-fontconfig-sys", "libfontconfig-dev", "libfontconfig1", "fontconfig"),
    Native("freetype-sys", "compiles its bundled FreeType as C++", cxx=True),
    _system("glib-sys", "libglib2.0-dev", "libglib2.0-0", "glib-2.0"),
    _system("gobject-sys", "libglib2.0-dev", "libglib2.0-0", "gobject-2.0"),
    _system("gio-sys", "libglib2.0-dev", "libglib2.0-0", "gio-2.0"),
    _system("cairo-sys-rs", "libcairo2-dev", "libcairo2 libcairo-gobject2", "cairo cairo-gobject"),
    _system("pango-sys", "libpango1.0-dev", "libpango-1.0-0", "pango-1.0"),
    _system("pangocairo-sys", "libpango1.0-dev", "libpangocairo-1.0-0", "pangocairo-1.0"),
    _system("gdk-pixbuf-sys", "libgdk-pixbuf-2.0-dev", "libgdk-pixbuf-2.0-0", "gdk_pixbuf-2.0"),
    _system("gtk-sys", "libgtk-3-dev", "libgtk-3-0", "gtk-3 gdk-3"),
    _system("gtk4-sys", "libgtk-4-dev", "libgtk-4-1", "gtk-4"),
    _system("webkit2gtk-sys", "libwebkit2gtk-4.1-dev", "libwebkit2gtk-4.1-0", "webkit2gtk-4.1"),
    _system("libsecret-sys", "libsecret-1-dev", "libsecret-1-0", "secret-1"),
    _system("gstreamer-sys", "libgstreamer1.0-dev", "libgstreamer1.0-0", "gstreamer-1.0"),
    _system("sdl2-sys", "libsdl2-dev", "libsdl2-2.0-0", "SDL2", without="bundled"),
    _builds("sdl2-sys", _CMAKE, when="bundled"),
    _builds("glfw-sys", _CMAKE),

    # Images and video
    _system("dav1d-sys", "libdav1d-dev", "libdav1d6", "dav1d"),
    Native("rav1e", "assembles with nasm on x86", when=("asm",)),
    _system("aom-sys", "libaom-dev", "libaom3", "aom"),
    _system("libvpx-sys", "libvpx-dev", "libvpx7", "vpx"),
    _system("ffmpeg-sys-next",
            "libavcodec-dev libavformat-dev libavutil-dev libavfilter-dev libavdevice-dev libswscale-dev "
            "libswresample-dev",
            "libavcodec59 libavformat59 libavutil57 libavfilter8 libavdevice59 libswscale6 libswresample4",
            "avcodec avformat avutil avfilter avdevice swscale swresample", without="build"),
    _builds("ffmpeg-sys-next", "make nasm git", when="build"),
    Native("mozjpeg-sys", "assembles with nasm on x86", platforms=_X86, host=("nasm",)),
    _builds("turbojpeg-sys", "cmake make nasm", when="cmake"),
    Native("libwebp-sys", "compiles its bundled libwebp"),
    _system("libheif-sys", "libheif-dev", "libheif1", "heif", without="embedded-libheif"),
    _system("leptonica-sys", "libleptonica-dev", "liblept5", "lept"),
    _system("tesseract-sys", "libtesseract-dev", "libtesseract5", "tesseract"),
    Native("opencv", "links OpenCV and reads its headers with libclang", host=("clang",),
           target=("libopencv-dev",),
           runtime=("libopencv-core406", "libopencv-imgproc406", "libopencv-imgcodecs406"), cxx=True,
           links=("opencv_core",)),
    _builds("audiopus_sys", _CMAKE, "builds Opus"),
    _system("opusic-sys", "libopus-dev", "libopus0", "opus", without="bundled"),
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
    "jpeg": "libjpeg-dev",
    "jemalloc": "libjemalloc-dev",
    "lz4": "liblz4-dev",
    "lzma": "liblzma-dev",
    "mpfr": "libmpfr-dev",
    "nghttp2": "libnghttp2-dev",
    "onig": "libonig-dev",
    "pcre2-8": "libpcre2-dev",
    "png": "libpng-dev",
    "png16": "libpng-dev",
    "protobuf": "libprotobuf-dev",
    "readline": "libreadline-dev",
    "rocksdb": "librocksdb-dev",
    "sensors": "libsensors-dev",
    "ssh2": "libssh2-1-dev",
    "stdc++": "libstdc++-12-dev",
    "tiff": "libtiff-dev",
    "unwind": "libunwind-dev",
    "uring": "liburing-dev",
    "usb-1.0": "libusb-1.0-0-dev",
    "uuid": "uuid-dev",
    "uv": "libuv1-dev",
    "webp": "libwebp-dev",
    "yaml": "libyaml-dev",
    "z": "zlib1g-dev",
    "zmq": "libzmq3-dev",
    "zstd": "libzstd-dev",
}
"""Libraries without a row above, with their package in bookworm."""
