#include "base/library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <vector>

namespace tn {

static std::string own_folder() {
  Dl_info info{};
  if (!dladdr(reinterpret_cast<void*>(&own_folder), &info) || !info.dli_fname) return "";
  std::string path = info.dli_fname;
  auto slash = path.rfind('/');
  return slash == path.npos ? "." : path.substr(0, slash);
}

void* open_own_library(const std::string& file, std::string& why) {
  std::vector<std::string> places;
  if (const char* folder = std::getenv("TENON_LIBRARY_DIR")) places.push_back(std::string(folder) + "/" + file);
  if (std::string folder = own_folder(); !folder.empty()) {
    places.push_back(folder + "/" + file);
    places.push_back(folder + "/../lib/" + file);
  }
  places.push_back(file);
  for (const std::string& place : places) {
    if (void* library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
    const char* error = dlerror();
    why += (why.empty() ? "" : "; ") + std::string(error ? error : place);
  }
  return nullptr;
}

void* library_symbol(void* library, const char* name) { return dlsym(library, name); }

}  // namespace tn
