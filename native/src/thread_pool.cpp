#include "thread_pool.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace u2forge {
namespace {

constexpr int kItemBits = 20;
constexpr uint64_t kItemMask = (uint64_t{1} << kItemBits) - 1;
// Steps of one inference follow each other within some 50 µs; whoever waits longer than about 100 sleeps.
constexpr int kSpins = 3000;

void pause() {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#else
    std::this_thread::yield();
#endif
}

uint64_t job_of(uint64_t ticket) { return ticket >> (2 * kItemBits); }
int items_of(uint64_t ticket) { return static_cast<int>((ticket >> kItemBits) & kItemMask); }
int next_of(uint64_t ticket) { return static_cast<int>(ticket & kItemMask); }

}  // namespace

ThreadPool::ThreadPool(int threads) {
    try {
        for (int worker = 1; worker < threads; ++worker) helpers_.emplace_back([this, worker] { help(worker); });
    } catch (...) {
        // Fewer threads than asked for would be told wrongly: none at all.
        end();
        throw;
    }
}

ThreadPool::~ThreadPool() { end(); }

void ThreadPool::end() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        ending_ = true;
    }
    wake_.notify_all();
    for (auto& helper : helpers_) helper.join();
}

void ThreadPool::run_shared(int items, Call call, const void* work) {
    call_ = call;
    work_ = work;
    done_.store(0, std::memory_order_relaxed);
    const uint64_t job = job_of(ticket_.load(std::memory_order_relaxed)) + 1;
    // Sequentially consistent, as asleep_ is: a helper either sees this job or is seen asleep.
    ticket_.store(job << (2 * kItemBits) | static_cast<uint64_t>(items) << kItemBits);
    if (asleep_.load() > 0) {
        { std::lock_guard<std::mutex> lock(mutex_); }
        wake_.notify_all();
    }
    take_items(0);
    for (int spins = 0; done_.load(std::memory_order_acquire) != items; ++spins) {
        if (spins < kSpins) pause();
        else std::this_thread::yield();
    }
}

void ThreadPool::take_items(int worker) {
    for (;;) {
        const uint64_t ticket = ticket_.fetch_add(1, std::memory_order_acq_rel);
        const int item = next_of(ticket);
        if (item >= items_of(ticket)) return;
        // The job cannot end, nor another begin, before this item is done.
        call_(work_, item, worker);
        done_.fetch_add(1, std::memory_order_release);
    }
}

void ThreadPool::help(int worker) {
    uint64_t seen = 0;
    auto news = [&] {
        const uint64_t ticket = ticket_.load();
        return job_of(ticket) != seen && next_of(ticket) < items_of(ticket);
    };
    for (;;) {
        for (int spins = 0; !news() && spins < kSpins && !ending_.load(std::memory_order_relaxed); ++spins) pause();
        if (!news()) {
            std::unique_lock<std::mutex> lock(mutex_);
            asleep_.fetch_add(1);
            wake_.wait(lock, [&] { return news() || ending_.load(); });
            asleep_.fetch_sub(1);
        }
        if (ending_.load()) return;
        seen = job_of(ticket_.load());
        take_items(worker);
    }
}

}  // namespace u2forge
