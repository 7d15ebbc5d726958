// Writes the seeds: write_seeds FOLDER makes FOLDER/TARGET/NAME for every target.
#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "targets.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_seeds FOLDER\n");
    return 1;
  }
  namespace fs = std::filesystem;
  for (const auto& target : tn::fuzz::targets()) {
    fs::path folder = fs::path(argv[1]) / target.name;
    fs::remove_all(folder);
    fs::create_directories(folder);
    for (const auto& [name, bytes] : target.seeds()) tn::write_file("seeds", (folder / name).string(), bytes);
  }
  return 0;
}
