// Runs recorded launches in a process of its own, under whatever sanitizer it was compiled with.
//
// runner CASE RESULT: the case file (cases.py writes it) holds buffers and launches; each buffer gets memory of exactly
// its size; afterwards all buffers are written to RESULT, one after another. Any finding ends the process with an error.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace {

std::ifstream input;

template <class T>
T number() {
    T value;
    input.read(reinterpret_cast<char*>(&value), sizeof value);
    if (!input) {
        std::fprintf(stderr, "runner: the case file is cut short\n");
        std::exit(3);
    }
    return value;
}

std::string text() {
    std::string value(number<uint32_t>(), '\0');
    input.read(value.data(), static_cast<std::streamsize>(value.size()));
    return value;
}

using Run = void (*)(unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void**);

void launch(std::vector<std::pair<unsigned char*, uint64_t>>& buffers) {
    std::string library = text();
    std::string kernel = text();
    unsigned shape[7];
    for (unsigned& side : shape) side = number<uint32_t>();
    std::vector<std::vector<unsigned char>> values(number<uint32_t>());
    for (auto& value : values) {
        if (number<uint32_t>() == 0) {  // by value
            std::string bytes = text();
            value.assign(bytes.begin(), bytes.end());
        } else {  // an address in a buffer
            uint32_t buffer = number<uint32_t>();
            unsigned char* pointer = buffers[buffer].first + number<uint64_t>();
            value.resize(sizeof pointer);
            std::memcpy(value.data(), &pointer, sizeof pointer);
        }
    }
    if (library.empty()) {  // a fill: buffer, byte
        unsigned char* pointer;
        std::memcpy(&pointer, values[0].data(), sizeof pointer);
        for (auto& [start, size] : buffers) {
            if (start == pointer) std::memset(start, values[1][0], size);
        }
        return;
    }
    void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        std::fprintf(stderr, "runner: %s\n", dlerror());
        std::exit(3);
    }
    auto run = reinterpret_cast<Run>(dlsym(handle, (kernel + "__run").c_str()));
    if (!run) {
        std::fprintf(stderr, "runner: %s has no %s\n", library.c_str(), kernel.c_str());
        std::exit(3);
    }
    std::vector<void*> arguments;
    for (auto& value : values) arguments.push_back(value.data());
    run(shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6], arguments.data());
}

}  // namespace

int main(int, char** words) {
    input.open(words[1], std::ios::binary);
    std::vector<std::pair<unsigned char*, uint64_t>> buffers(number<uint32_t>());
    for (auto& [start, size] : buffers) {
        size = number<uint64_t>();
        start = static_cast<unsigned char*>(std::malloc(size));
        input.read(reinterpret_cast<char*>(start), static_cast<std::streamsize>(size));
    }
    uint32_t launches = number<uint32_t>();
    for (uint32_t k = 0; k < launches; ++k) launch(buffers);
    std::ofstream output(words[2], std::ios::binary);
    for (auto& [start, size] : buffers) {
        output.write(reinterpret_cast<char*>(start), static_cast<std::streamsize>(size));
        std::free(start);
    }
    return output.good() ? 0 : 3;
}
