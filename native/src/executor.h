// A session: one program, ready to run on some threads: its memory, and each step as items that the threads share.
#pragma once

#include <climits>
#include <memory>
#include <mutex>
#include <vector>

#include "aligned_memory.h"
#include "memory_plan.h"
#include "program.h"
#include "thread_pool.h"

namespace u2forge {

// `count` of some, from `first` on.
struct Piece {
    int first, count;
};

class Session {
   public:
    // Throws std::invalid_argument where the instruction set has no kernels of the program's precision.
    Session(std::shared_ptr<const Program> program, KernelsOf kernels, int threads);

    // inputs, outputs: one contiguous array for each, of `images` pictures. step_ms: where not null, the time of each
    // step is added to it. Throws std::bad_alloc.
    void run(const std::vector<const void*>& inputs, const std::vector<void*>& outputs, int images, double* step_ms);

    // For tests: the next run finds all of its memory full of not-a-numbers and -1, as a run before may have left it.
    void poison();

    size_t memory_bytes() const;

   private:
    void prepare(int images);
    size_t scratch_bytes(const Step& step, int images) const;
    void execute(const Step& step, char* scratch);

    void normalize(const Step&);
    void first_convolution(const Step&, char* scratch);
    void winograd(const Step&, char* scratch);
    void winograd_by_tiles(const Step&, int tiles_of_item);
    void winograd_by_channels(const Step&, const Blocked& source, const Blocked& target, int images, const Epilogue&,
                              char* operands);
    void winograd_by_phases(const Step&, char* scratch);
    void move_phases(const Blocked& image, const Blocked& phases, int dilation, bool gather);
    void direct(const Step&, char* scratch);
    void side_convolution(const Step&);
    void pointwise_convolution(const Step&);
    void resize(const Step&);
    void resize_planar(const Step&);
    void rows(const Step&, void (*kernel)(const Rows&));
    void planar_copy(const Step&);
    void sigmoid(const Step&);
    void clear_new_borders(const View& view, int step);

    // Steps, inclusive; none at all: first > last.
    struct PartLife {
        int first = INT_MAX, last = -1;
    };
    void reach(int buffer, int step);
    size_t bytes_of_image(int buffer) const;
    const Transforms& transforms_of(const Step& step) const;
    int parts_of(const Buffer& buffer) const;
    Piece parts_of_view(const View& view) const;

    Blocked blocked(const View& view) const;
    Planar planar(const View& view) const;
    Epilogue epilogue(const Step& step) const;
    char* own(int worker) const { return own_[worker].get(); }
    void need_own(size_t bytes);

    std::shared_ptr<const Program> program_;
    const Kernels& kernels_;
    std::mutex running_;
    ThreadPool pool_;
    int images_ = 0;  // of a pass, for which the memory is laid out
    std::vector<char*> data_;     // of each buffer
    std::vector<char*> scratch_;  // of each step
    std::vector<std::vector<PartLife>> parts_;  // of each buffer
    std::vector<bool> border_read_;
    std::vector<int> rows_, columns_;  // of a blocked buffer's images in memory, their borders included
    Memory arena_;
    size_t arena_bytes_ = 0, own_bytes_ = 0;
    std::vector<Memory> own_;  // of each thread
};

}  // namespace u2forge
