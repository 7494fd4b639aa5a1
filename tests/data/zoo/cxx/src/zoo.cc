#include "cxx-zoo/src/zoo.h"

#include <stdexcept>
#include <string>

std::size_t length(rust::Str text) {
  std::string copy(text.data(), text.size());
  if (copy.empty()) {
    throw std::invalid_argument("empty");
  }
  return copy.size();
}
