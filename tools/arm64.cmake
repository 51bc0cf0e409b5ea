# arm64.cmake - CMake's toolchain file for 64-bit ARM on a Debian machine of another processor: the preset arm64, see tests/arm64/run.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig) # the codecs of its packages, such as libpng-dev:arm64
