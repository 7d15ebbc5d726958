// A page with a grid of pictures, what they are and what was predicted.
#pragma once
#include <fstream>
#include <string>
#include <vector>

inline std::string base64(const std::string& bytes) {
  static const char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    unsigned v = 0;
    for (size_t k = 0; k < 3; ++k) v = v << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) text += i + k > bytes.size() ? '=' : kDigits[v >> (18 - 6 * k) & 63];
  }
  return text;
}

/// A grey picture of 28x28 as a BMP file.
inline std::string bitmap(const unsigned char* pixels) {
  std::string file = "BM";
  auto put = [&](unsigned v, int bytes) {
    for (int i = 0; i < bytes; ++i) file += static_cast<char>(v >> 8 * i & 255);
  };
  put(1078 + 784, 4), put(0, 4), put(1078, 4);
  put(40, 4), put(28, 4), put(28, 4), put(1, 2), put(8, 2), put(0, 4), put(784, 4), put(2835, 4), put(2835, 4),
      put(256, 4), put(0, 4);
  for (unsigned grey = 0; grey < 256; ++grey) put(grey << 16 | grey << 8 | grey, 4);
  for (int row = 27; row >= 0; --row) file.append(reinterpret_cast<const char*>(pixels) + row * 28, 28);
  return file;
}

inline void write_page(const std::string& path, const unsigned char* pictures, const std::vector<long>& labels,
                       const std::vector<long>& predictions) {
  static const char* const kNames[] = {"T-shirt", "Trouser", "Pullover", "Dress", "Coat",
                                       "Sandal",  "Shirt",   "Sneaker",  "Bag",   "Boot"};
  std::ofstream out(path);
  out << "<!doctype html><meta charset=utf-8><title>Fashion-MNIST</title><style>body{font-family:sans-serif}"
         "figure{display:inline-block;margin:6px;width:84px;font-size:12px;text-align:center}img{width:84px;"
         "image-rendering:pixelated}.wrong{color:#b00020}</style><h1>What the plan sees</h1>\n";
  for (size_t i = 0; i < labels.size(); ++i) {
    bool right = labels[i] == predictions[i];
    out << "<figure" << (right ? "" : " class=wrong") << "><img alt=\"\" src=\"data:image/bmp;base64,"
        << base64(bitmap(pictures + 784 * i)) << "\"><figcaption>" << kNames[predictions[i]];
    if (!right) out << "<br>is " << kNames[labels[i]];
    out << "</figcaption></figure>\n";
  }
}
