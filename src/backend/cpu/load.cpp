// A loader for the relocatable objects our emitter makes: code and constants go into one mapping, relocations are
// resolved within it, and nothing outside is ever referred to. Objects come from disk caches and plan files too, so
// every offset, size and index is checked before it is used; whatever is not needed is refused, not skipped. (The code
// itself is trusted as that of any shared library is.)
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "backend/cpu/cpu.h"
#include "tenon/error.h"

namespace tn::cpu {

namespace {

constexpr u64 kMostBytes = u64{256} << 20;
constexpr size_t kMostPhases = 4096;

[[noreturn]] void bad(const std::string& what) {
  fail("load_kernel", "expected an object of this backend, got " + what);
}

class Loader {
 public:
  explicit Loader(std::span<const std::byte> object) : object_(object) {}

  void parse() {
    header();
    for (size_t i = 0; i < sections_.size(); ++i) section(i);
    if (symbols_.empty()) bad("one without symbols");
    if (total_ == 0) bad("one without code");
  }
  u64 total() const { return total_; }

  /// Copies sections to `memory` and resolves relocations.
  void place(std::byte* memory) const {
    for (size_t i = 0; i < sections_.size(); ++i)
      if (placed_[i] != kNowhere && sections_[i].sh_size)
        std::memcpy(memory + placed_[i], object_.data() + sections_[i].sh_offset, sections_[i].sh_size);
    for (const Elf64_Shdr& s : sections_)
      if (s.sh_type == SHT_RELA && placed_[s.sh_info] != kNowhere) relocate(memory, s);
  }

  /// Offsets of phase_0, phase_1, ...
  std::vector<u64> phases() const {
    std::vector<std::pair<u64, u64>> found;
    for (const Elf64_Sym& s : symbols_) {
      if (ELF64_ST_TYPE(s.st_info) != STT_FUNC || ELF64_ST_BIND(s.st_info) != STB_GLOBAL) continue;
      std::string_view name = symbol_name(s);
      if (!name.starts_with("phase_") || name.size() > 12) bad("a function that is no phase");
      u64 number = 0;
      for (char c : name.substr(6)) {
        if (c < '0' || c > '9') bad("a function that is no phase");
        number = number * 10 + static_cast<u64>(c - '0');
      }
      if (!is_code(s.st_shndx)) bad("a phase outside its code");
      if (s.st_value >= sections_[s.st_shndx].sh_size) bad("a phase outside its code");
      found.emplace_back(number, placed_[s.st_shndx] + s.st_value);
    }
    std::sort(found.begin(), found.end());
    if (found.empty() || found.size() > kMostPhases) bad("one without phases");
    std::vector<u64> offsets;
    for (const auto& [number, offset] : found) {
      if (number != offsets.size()) bad("phases that are not numbered from 0");
      offsets.push_back(offset);
    }
    return offsets;
  }

 private:
  static constexpr u64 kNowhere = ~u64{0};

  template <class T>
  T read(u64 offset) const {
    if (offset > object_.size() || object_.size() - offset < sizeof(T)) bad("a truncated one");
    T value;
    std::memcpy(&value, object_.data() + offset, sizeof value);
    return value;
  }

  void header() {
    auto h = read<Elf64_Ehdr>(0);
    if (std::memcmp(h.e_ident, ELFMAG, SELFMAG) != 0) bad("no ELF file");
    if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_ident[EI_DATA] != ELFDATA2LSB) bad("another ELF class");
    if (h.e_type != ET_REL || h.e_machine != EM_X86_64) bad("no relocatable x86-64 object");
    if (h.e_shentsize != sizeof(Elf64_Shdr) || h.e_shnum == 0 || h.e_shnum > 1024) bad("a strange section table");
    for (u64 i = 0; i < h.e_shnum; ++i) {
      if (h.e_shoff > object_.size()) bad("a truncated one");
      sections_.push_back(read<Elf64_Shdr>(h.e_shoff + i * sizeof(Elf64_Shdr)));
    }
    placed_.assign(sections_.size(), kNowhere);
  }

  void section(size_t i) {
    const Elf64_Shdr& s = sections_[i];
    if (s.sh_type != SHT_NOBITS && (s.sh_offset > object_.size() || s.sh_size > object_.size() - s.sh_offset))
      bad("a section past the end");
    if (s.sh_type == SHT_REL) bad("relocations without addends");
    if (s.sh_type == SHT_RELA && s.sh_info >= sections_.size()) bad("relocations of no section");
    if (s.sh_type == SHT_SYMTAB) return symbol_table(s);
    if (!(s.sh_flags & SHF_ALLOC) || s.sh_size == 0 || s.sh_type == SHT_NOTE || s.sh_type == SHT_X86_64_UNWIND) return;
    if (s.sh_type != SHT_PROGBITS || (s.sh_flags & (SHF_WRITE | SHF_TLS))) bad("data that can be written");
    u64 align = std::max<u64>(s.sh_addralign, 1);
    if (align > 4096 || (align & (align - 1))) bad("a section of strange alignment");
    total_ = (total_ + align - 1) & ~(align - 1);
    placed_[i] = total_;
    total_ += s.sh_size;
    if (total_ > kMostBytes) bad("more code than " + std::to_string(kMostBytes) + " bytes");
  }

  void symbol_table(const Elf64_Shdr& s) {
    if (!symbols_.empty() || s.sh_entsize != sizeof(Elf64_Sym) || s.sh_link >= sections_.size())
      bad("a strange symbol table");
    names_ = sections_[s.sh_link];
    if (names_.sh_type != SHT_STRTAB || names_.sh_offset > object_.size() ||
        names_.sh_size > object_.size() - names_.sh_offset)
      bad("a strange name table");
    for (u64 at = 0; at + sizeof(Elf64_Sym) <= s.sh_size; at += sizeof(Elf64_Sym))
      symbols_.push_back(read<Elf64_Sym>(s.sh_offset + at));
  }

  std::string_view symbol_name(const Elf64_Sym& s) const {
    if (s.st_name >= names_.sh_size) bad("a name past its table");
    const char* first = reinterpret_cast<const char*>(object_.data()) + names_.sh_offset + s.st_name;
    u64 most = names_.sh_size - s.st_name;
    u64 length = strnlen(first, most);
    if (length == most) bad("a name without an end");
    return {first, length};
  }

  bool is_code(u64 section) const {
    return section < sections_.size() && placed_[section] != kNowhere && (sections_[section].sh_flags & SHF_EXECINSTR);
  }

  u64 target(u64 symbol) const {
    if (symbol >= symbols_.size()) bad("a relocation to no symbol");
    const Elf64_Sym& s = symbols_[symbol];
    if (s.st_shndx >= sections_.size() || placed_[s.st_shndx] == kNowhere)
      bad("a reference to '" + std::string(symbol_name(s)) + "' outside it");
    if (s.st_value > sections_[s.st_shndx].sh_size) bad("a symbol past its section");
    return placed_[s.st_shndx] + s.st_value;
  }

  void relocate(std::byte* memory, const Elf64_Shdr& s) const {
    if (s.sh_entsize != sizeof(Elf64_Rela)) bad("strange relocations");
    const Elf64_Shdr& section = sections_[s.sh_info];
    for (u64 at = 0; at + sizeof(Elf64_Rela) <= s.sh_size; at += sizeof(Elf64_Rela)) {
      auto r = read<Elf64_Rela>(s.sh_offset + at);
      u64 type = ELF64_R_TYPE(r.r_info), width = type == R_X86_64_64 || type == R_X86_64_PC64 ? 8 : 4;
      if (r.r_offset > section.sh_size || section.sh_size - r.r_offset < width) bad("a relocation past its section");
      u64 place = placed_[s.sh_info] + r.r_offset;
      if (r.r_addend > static_cast<i64>(kMostBytes) || r.r_addend < -static_cast<i64>(kMostBytes))
        bad("a relocation far away");
      i64 value = static_cast<i64>(target(ELF64_R_SYM(r.r_info))) + r.r_addend;
      if (value < -64 || value > static_cast<i64>(total_) + 64) bad("a relocation that leaves it");
      switch (type) {
        case R_X86_64_PC32:
        case R_X86_64_PLT32:
        case R_X86_64_PC64: value -= static_cast<i64>(place); break;
        case R_X86_64_64: value += static_cast<i64>(reinterpret_cast<u64>(memory)); break;
        default: bad("relocation type " + std::to_string(type));
      }
      std::memcpy(memory + place, &value, width);
    }
  }

  std::span<const std::byte> object_;
  std::vector<Elf64_Shdr> sections_;
  std::vector<u64> placed_;
  std::vector<Elf64_Sym> symbols_;
  Elf64_Shdr names_{};
  u64 total_ = 0;
};

}  // namespace

CompiledKernel::CompiledKernel(std::span<const std::byte> object) {
  Loader loader(object);
  loader.parse();
  std::vector<u64> offsets = loader.phases();
  auto page = static_cast<u64>(sysconf(_SC_PAGESIZE));
  bytes_ = (loader.total() + page - 1) & ~(page - 1);
  memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory_ == MAP_FAILED)
    fail("load_kernel", "expected room for " + std::to_string(bytes_) + " bytes of code: " + std::strerror(errno));
  try {
    loader.place(static_cast<std::byte*>(memory_));
    if (mprotect(memory_, bytes_, PROT_READ | PROT_EXEC) != 0)
      fail("load_kernel", std::string("expected memory that may be executed: ") + std::strerror(errno));
  } catch (...) {
    munmap(memory_, bytes_);
    throw;
  }
  for (u64 offset : offsets) phases_.push_back(reinterpret_cast<Phase>(static_cast<std::byte*>(memory_) + offset));
  object_.assign(object.begin(), object.end());
}

CompiledKernel::~CompiledKernel() { munmap(memory_, bytes_); }

}  // namespace tn::cpu
