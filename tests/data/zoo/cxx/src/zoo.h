#pragma once
#include "rust/cxx.h"

std::size_t length(rust::Str text);
