/* The contract between rocforge's core and its backends: ABI major 1, C11.
 *
 * A plugin is one shared library that exports one function, rocforge_plugin_v1. It registers backends; a backend is a table of functions
 * (rf_backend_api) that says which attention problems it can run, plans them and runs them. This file is all that a plugin includes:
 * no core, no GPU headers, no C++.
 *
 * Rules that keep old binaries working:
 *   - Append-only once released: never reorder, retype or reuse a field. A layout change is a new major and a new entry symbol.
 *   - Who makes a struct sets struct_size; who is handed it reads and writes only what RF_HAS says is there. reserved is 0, else refused.
 *   - Structs embedded by value (rf_dtype, rf_tensor) and rf_error are frozen: they have no room to grow.
 *   - Whatever changes results has a feature bit. The core refuses a problem with a bit that a backend does not declare, before calling it.
 *   - Strings passed to a call are borrowed for the call. No allocator, exception, C++ type or thread-local crosses the boundary.
 *
 * Each slot's comment closes with its tags:
 *   [init-thread]  on whichever thread, but never beside another call for the same context and backend
 *   [any-thread]   from any thread, also at once
 *   [pure]         reads its arguments and constants: no launch, allocation, I/O or global state
 *   [enqueues]     returns once the work is on the stream (CPU: once it is done)
 *   [blocks]       may wait, allocate or compile
 *
 * Units: dims, strides and extents in elements, sizes in bytes where the name says so. Shapes in brackets, outermost axis first. */
#ifndef ROCFORGE_PLUGIN_H
#define ROCFORGE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RF_ABI_MAJOR 1
#define RF_ABI_MINOR 0 /* for people: code asks RF_HAS and feature bits */
#define RF_EXPORT __attribute__((visibility("default")))

/* Does *p, as its maker compiled it, reach the end of field f? */
#define RF_HAS(p, f) ((p)->struct_size >= offsetof(__typeof__(*(p)), f) + sizeof((p)->f))

/* ---- Results ------------------------------------------------------------------------------------------------------------------- */

typedef int32_t rf_code;
enum {
    RF_OK = 0,
    RF_UNSUPPORTED = 1, /* a valid problem that this backend does not run; reasons go through a sink */
    RF_INVALID = 2,     /* the caller broke the contract: no backend could */
    RF_NO_MEMORY = 3,
    RF_UNAVAILABLE = 4,  /* hardware, driver or runtime library is missing */
    RF_INCOMPATIBLE = 5, /* another ABI major, a struct too small */
    RF_DEVICE = 6,       /* the device reported an error */
    RF_INTERNAL = 7,     /* a bug in the callee */
    RF_NOT_FOUND = 8     /* no such name or index */
};

/* Where a failed call says why: who, which value, which limit, the way out. Caller-owned and may be NULL, so nothing is to be freed.
 * Frozen. message always ends in 0. */
typedef struct rf_error {
    uint32_t struct_size;
    rf_code code;
    int32_t native; /* the system's own number: hipError_t, CUresult, errno; 0 where there is none */
    uint32_t reserved;
    char message[496];
} rf_error;

/* ---- The problem: geometry alone -------------------------------------------------------------------------------------------------- */

/* What a problem uses, and what a backend implements. The core refuses a problem with a bit that the backend does not declare, and sets
 * the bits marked "derived" from the geometry. The field that belongs to a bit that is off is 0 (windows: -1) and unread. Types, dims
 * and lengths have no bits: supports() judges them. */
typedef uint64_t rf_features;
#define RF_F_CAUSAL (1ull << 0)         /* keep j <= i + diagonal */
#define RF_F_BOTTOM_RIGHT (1ull << 1)   /* the diagonal of causal, window and ALiBi is j = i + diagonal + len_kv - len_q, not j = i + diagonal */
#define RF_F_WINDOW (1ull << 2)         /* keep -window_left <= j - (i + diagonal) <= window_right; holds together with CAUSAL */
#define RF_F_GROUPED_HEADS (1ull << 3)  /* derived: head_q != head_kv; query head h reads kv head h / (head_q / head_kv) */
#define RF_F_MASK_BOOL (1ull << 4)      /* one byte each, non-zero keeps; never with MASK_ADD */
#define RF_F_MASK_ADD (1ull << 5)       /* f32, f16 or bf16, added; -inf excludes as false does, no finite value does */
#define RF_F_ALIBI (1ull << 6)          /* adds -slope[head_q] * |i + diagonal - j| */
#define RF_F_SOFTCAP (1ull << 7)        /* s = softcap * tanh(s / softcap), before anything is added */
#define RF_F_SINK (1ull << 8)           /* one more logit per head in the softmax's denominator, unscaled and uncapped */
#define RF_F_KV_LENGTHS (1ull << 9)     /* kv_lengths, clamped to [0, max_seq_kv] */
#define RF_F_RAGGED_Q (1ull << 10)      /* cu_seqlens_q; with PAGED_KV the commonest serving problem */
#define RF_F_PAGED_KV (1ull << 11)      /* block_table; needs KV_LENGTHS, excludes RAGGED_KV */
#define RF_F_LSE (1ull << 12)           /* also writes the natural log of the softmax's denominator */
#define RF_F_DIM_V (1ull << 13)         /* derived: dim_v != dim */
#define RF_F_DROPOUT (1ull << 14)       /* Philox 4x32-10, see rf_args */
#define RF_F_DETERMINISTIC (1ull << 15) /* the caller demands bitwise equal results from run to run */
#define RF_F_KV_DTYPE (1ull << 16)      /* derived: k or v stored in another type than q */
#define RF_F_KV_SCALES (1ull << 17)     /* each k and v element is multiplied by k_scale, v_scale as it is read */
#define RF_F_RAGGED_KV (1ull << 18)     /* cu_seqlens_kv; excludes KV_LENGTHS */
#define RF_F_DIAGONAL (1ull << 19)      /* derived: diagonal != 0: a slice of a longer sequence (cascade, ring, chunks) */
#define RF_F_OUT_DTYPE (1ull << 20)     /* derived: out stored in another type than q */
#define RF_F_ALL ((1ull << 21) - 1)     /* every bit that this header knows; never declare it: compiled with a later header it would promise more */

/* DLPack's DLDataType. Frozen. All 0 means that the tensor is absent. */
typedef struct rf_dtype {
    uint8_t code; /* RF_T_* */
    uint8_t bits;
    uint16_t lanes; /* 1 */
} rf_dtype;
enum {
    RF_T_INT = 0,
    RF_T_UINT = 1,
    RF_T_FLOAT = 2,
    RF_T_BFLOAT = 4,
    RF_T_BOOL = 6, /* bits = 8 */
    RF_T_F8_E4M3FN = 10,
    RF_T_F8_E4M3FNUZ = 11,
    RF_T_F8_E5M2 = 12,
    RF_T_F8_E5M2FNUZ = 13,
    RF_T_F8_E8M0FNU = 14,
    RF_T_F4_E2M1FN = 17
};

/* Axes batch, head, sequence, dim. A stride of 0 broadcasts. The stride of dim is 1 in q, k, v and out. Frozen. */
typedef struct rf_tensor {
    rf_dtype dtype;
    uint32_t align; /* bytes, a power of two up to 256, promised of the pointer in rf_args (the core checks it there); 0: one element */
    int64_t shape[4];
    int64_t stride[4]; /* elements */
} rf_tensor;

/* Device kinds are DLPack's. */
enum { RF_DEVICE_CPU = 1, RF_DEVICE_CUDA = 2, RF_DEVICE_ROCM = 10 };

/* A device, as the backend that found it (device()) or knows its kind (describe()) sees it. Strings live until shutdown(). */
typedef struct rf_device {
    uint32_t struct_size;
    int32_t kind; /* RF_DEVICE_* */
    int32_t
        ordinal; /* the GPU runtime's number in this process; -1: hypothetical, from describe(): supports() and kv_layout() answer, plan() does not */
    uint32_t wave_size, compute_units, lds_bytes;
    uint64_t memory_bytes;
    const char* arch;    /* "gfx942:sramecc+:xnack-", "sm_90", "x86-64-v4" */
    const char* name;    /* for people: "AMD Instinct MI300X" */
    const char* runtime; /* "hip 6.4.43482" */
} rf_device;

/* One attention problem (exact definition, value ranges and what the core guarantees: sdk/README.md). It holds no data pointer, so that it can be
 * hashed, cached, fuzzed and asked about hardware that is absent.
 *
 * Extents are capacities: values past a sequence's end reach no result, rows of out and lse there are left as they are.
 *   len_q  = max_seq_q, or from cu_seqlens_q
 *   len_kv = max_seq_kv, or from cu_seqlens_kv, or kv_lengths clamped to [0, max_seq_kv]
 * Dense:     q [batch, head_q, max_seq_q, dim], k [batch, head_kv, max_seq_kv, dim], v [batch, head_kv, max_seq_kv, dim_v],
 *            out [batch, head_q, max_seq_q, dim_v]
 * RAGGED_Q:  q and out have shape[0] = 1 and all tokens on the sequence axis (a capacity too: cu_seqlens_q says how many live)
 * RAGGED_KV: k and v likewise
 * PAGED_KV:  k [pages, head_kv, page_size, dim], v [pages, head_kv, page_size, dim_v], whatever q is;
 *            block_table [batch, ceil(max_seq_kv / page_size)]; entries past a sequence's last page are unread
 * cu_seqlens [batch + 1], from 0, ascending; kv_lengths [batch]
 * mask [batch, head_q, max_seq_q, max_seq_kv], i and j local to the sequence, in full extents (the core turns extents of 1 into stride 0)
 * lse f32 [batch, head_q, max_seq_q, 1]; with RAGGED_Q [1, head_q, tokens, 1]
 * k_scale, v_scale: the axes of k and v; shape[3] = dim / group */
typedef struct rf_problem {
    uint32_t struct_size, reserved;
    rf_features features;
    int64_t batch; /* sequences */
    int64_t max_seq_q, max_seq_kv;
    int64_t page_size;          /* tokens a page */
    int64_t block_table_stride; /* elements a row */
    rf_tensor q, k, v, out, mask, lse, k_scale, v_scale;
    rf_dtype index_dtype; /* i32 or i64: kv_lengths, cu_seqlens and block_table */
    float scale;          /* never a default here: the core has resolved it */
    float softcap, dropout_p;
    int64_t window_left, window_right; /* -1: unlimited */
    int64_t diagonal;
    uint64_t workspace_limit_bytes; /* of workspace_bytes, zeroed_bytes apart; UINT64_MAX: none */
} rf_problem;

/* ---- Saying no -------------------------------------------------------------------------------------------------------------------- */

/* One refusal. code and field are stable identifiers for programs, the rest is for people. Strings are borrowed for the call of report. */
typedef struct rf_reason {
    uint32_t struct_size;
    int32_t code;      /* RF_R_* */
    const char* field; /* a path in the problem: "k.shape[3]" */
    const char* have;  /* the value: "264" */
    const char* need;  /* the limit: "at most 256, a multiple of 8" */
    const char* hint;  /* the way out, or "" */
} rf_reason;
enum {
    RF_R_ARCH = 1,
    RF_R_DTYPE,
    RF_R_HEAD_DIM,
    RF_R_SEQUENCE,
    RF_R_SHAPE,
    RF_R_STRIDE,
    RF_R_ALIGN,
    RF_R_FEATURE,
    RF_R_COMBINATION,
    RF_R_WORKSPACE,
    RF_R_KV_LAYOUT,
    RF_R_DEPENDENCY,
    RF_R_DRIVER,
    RF_R_NOT_BUILT,
    RF_R_DISABLED,
    RF_R_DEVICE_KIND,
    RF_R_FAULT /* reported by the core: the backend broke its contract while it was asked */
};

/* Takes refusals, one call of report each. */
typedef struct rf_sink {
    uint32_t struct_size, reserved;
    void* self; /* first argument of report */
    /* Takes one refusal and copies what it keeps. [any-thread] */
    void (*report)(void* self, const rf_reason*);
} rf_sink;

/* A layout of K and V that a backend takes. */
typedef struct rf_kv_layout {
    uint32_t struct_size;
    uint32_t kind;                             /* RF_KV_* */
    int64_t page_min, page_max, page_multiple; /* tokens a page; 0 for RF_KV_CONTIGUOUS */
    uint32_t align;                            /* bytes, of the base pointer */
    uint8_t order[4];                          /* axes, outermost first: {0,1,2,3} is BHSD, {0,2,1,3} tokens before heads */
} rf_kv_layout;
enum { RF_KV_CONTIGUOUS = 1, RF_KV_PAGED = 2 };

/* ---- Plan and forward ------------------------------------------------------------------------------------------------------------- */

/* What plan() tells of its choice. The caller sets struct_size, the backend the rest. */
typedef struct rf_plan_info {
    uint32_t struct_size;
    uint32_t flags;           /* RF_P_* */
    uint64_t workspace_bytes; /* forward's scratch: 256-aligned, contents undefined */
    uint64_t zeroed_bytes;    /* counters: 256-aligned; zero before the first forward, left zero by each */
    double estimate_us;       /* < 0: none; advisory, the core decides */
    const char* kernel;       /* shown by explain, the key of a tuned decision; lives with the plan */
} rf_plan_info;
#define RF_P_CAPTURABLE 1u    /* forward may be captured in a graph */
#define RF_P_DETERMINISTIC 2u /* bitwise equal results from run to run */

/* The pointers of one call, all in memory of the plan's device; those of features that are off are NULL.
 * Dropout keeps p[b, h, i, j] where word j % 4 of Philox4x32-10(counter {j / 4, i, b * head_q + h, low word of dropout_offset},
 * key {low word of dropout_seed, high word of dropout_seed ^ high word of dropout_offset}) >= floor(dropout_p * 2^32), and divides what
 * it keeps by 1 - dropout_p; i and j are local to sequence b. lse is of the undropped row. (Salmon et al., "Parallel Random Numbers: As
 * Easy as 1, 2, 3", SC 2011.) */
typedef struct rf_args {
    uint32_t struct_size, reserved;
    const void *q, *k, *v;
    void *out, *lse;
    const void *mask, *alibi_slopes, *sink; /* alibi_slopes, sink: f32 [head_q] */
    const void *kv_lengths, *cu_seqlens_q, *cu_seqlens_kv, *block_table;
    const void *k_scale, *v_scale;
    void *workspace, *zeroed;
    uint64_t workspace_bytes; /* of workspace: at least the plan's */
    uint64_t dropout_seed, dropout_offset;
    int64_t live_batch, live_seq_q, live_seq_kv; /* what the host knows of this call, upper bounds (0: the problem's): they may shrink a
                                                  * grid but change no result */
    void* stream;                                /* hipStream_t, CUstream; NULL on the CPU */
} rf_args;

/* ---- The two tables --------------------------------------------------------------------------------------------------------------- */

typedef struct rf_host rf_host;       /* the core's, opaque to plugins: one a context, alive until its last shutdown() */
typedef struct rf_backend rf_backend; /* the plugin's, opaque to the core: one a context */
typedef struct rf_plan rf_plan;       /* the plugin's */
struct rf_backend_api;

enum { RF_LOG_TRACE = 0, RF_LOG_DEBUG = 1, RF_LOG_INFO = 2, RF_LOG_WARN = 3, RF_LOG_ERROR = 4 };

/* What the core offers to a plugin. Alive until the context's last shutdown(). */
typedef struct rf_host_api {
    uint32_t struct_size;
    uint32_t abi_minor;
    const rf_host* self; /* first argument of every slot */
    uint32_t workers;    /* threads that parallel_for may use: constant, >= 1 */
    uint32_t reserved;
    /* Adds one backend. Inside rocforge_plugin_v1 only, else RF_INVALID. The struct is constant and it and the strings in it live as long as the
     * library is loaded. It is checked once the entry has returned: every slot that is not optional, name, version and vendor must be there.
     * Return what it returns. [init-thread] */
    rf_code (*register_backend)(const rf_host*, const struct rf_backend_api*);
    /* Writes one line to the host's log, level RF_LOG_*. [any-thread] */
    void (*log)(const rf_host*, int32_t level, const char* backend, const char* message);
    /* The value of an option that the backend declares: from the configuration, else the preset. Lives as long as the host; NULL for an
     * undeclared key. [init-thread] */
    const char* (*option)(const rf_host*, const char* backend, const char* key);
    /* Calls body(arg, begin, end, worker) over slices of [0, n) on at most max_workers threads and returns when all are done.
     * worker < min(max_workers, workers) and is held by one thread at a time: it picks a slice of the workspace. Allocates nothing.
     * body neither throws nor calls parallel_for. [any-thread] [blocks] */
    void (*parallel_for)(const rf_host*, int64_t n, uint32_t max_workers, void (*body)(void* arg, int64_t begin, int64_t end, uint32_t worker),
                         void* arg);
    /* A table by id, or NULL. None is defined in 1.0. [any-thread] */
    const void* (*extension)(const rf_host*, const char* id);
} rf_host_api;

/* An option of a backend, set in TOML under [backend.NAME]. */
typedef struct rf_option {
    uint32_t struct_size, reserved;
    const char* key;
    const char* values; /* "1..1024", "auto|avx2|amx", "" for any */
    const char* preset; /* its value when unset, in the same form */
    const char* help;
} rf_option;

/* A backend. Slots that are NULL where not marked optional are refused at registration. */
typedef struct rf_backend_api {
    uint32_t struct_size;
    uint32_t abi_minor;
    const char* name;     /* [a-z][a-z0-9_]*; identity is (name, device_kind) */
    const char* version;  /* of the backend: "1.0.0" */
    const char* vendor;   /* who to ask */
    rf_features features; /* what it implements, bit by bit */
    uint32_t flags;       /* RF_B_* */
    uint32_t sanitizer;   /* RF_SANITIZER_* it was built with */
    int32_t device_kind;  /* RF_DEVICE_* */
    uint32_t reserved;
    const rf_option* const* options; /* ends in NULL; optional */

    /* Makes the backend's state. Once a context, lazily, before any slot below. Missing hardware, driver or library is no failure here:
     * device() reports it, and describe, supports and kv_layout answer without them. [init-thread] */
    rf_code (*init)(const rf_host_api*, rf_backend**, rf_error*);
    /* Frees it. No plan is alive and no call is in flight. [init-thread] */
    void (*shutdown)(rf_backend*);
    /* The index-th device. RF_NOT_FOUND past the last; RF_UNAVAILABLE with the reason where there is none at all. [any-thread] [blocks] */
    rf_code (*device)(rf_backend*, int32_t index, rf_device*, rf_error*);
    /* "gfx942" to that arch's limits, ordinal -1; RF_NOT_FOUND for an arch that it does not know. [any-thread] [pure] */
    rf_code (*describe)(rf_backend*, const char* arch, rf_device*);
    /* The capability predicate: RF_OK or RF_UNSUPPORTED. With a sink it reports every refusal; without one it may stop at the first; the
     * verdict is the same. [any-thread] [pure] */
    rf_code (*supports)(rf_backend*, const rf_device*, const rf_problem*, const rf_sink*);
    /* What K and V may look like for this problem (whose own strides and page_size are unread), best first, so that a cache can be
     * allocated to fit. RF_NOT_FOUND past the last. [any-thread] [pure] */
    rf_code (*kv_layout)(rf_backend*, const rf_device*, const rf_problem*, uint32_t index, rf_kv_layout*);
    /* Chooses a kernel, may compile and allocate. algo 0 is the default choice; 1.. are for a tuner, RF_NOT_FOUND past the last.
     * RF_UNSUPPORTED only where supports() says so too. [any-thread] [blocks] */
    rf_code (*plan)(rf_backend*, const rf_device*, const rf_problem*, uint32_t algo, rf_plan**, rf_plan_info*, rf_error*);
    /* The forward entry point: out = softmax(scale * q k^T) v, as the problem says, on args->stream. No allocation, no host
     * synchronisation; keeps no pointer once the stream has passed; leaves the thread's current device as found. Calls that may overlap
     * need distinct workspace and zeroed. [any-thread] [enqueues] */
    rf_code (*forward)(const rf_plan*, const rf_args*, rf_error*);
    /* Frees a plan that no forward() is in; enqueued and captured work may outlive it. [any-thread] */
    void (*plan_free)(rf_plan*);
    /* A table by id ("rocforge.memory/1" is rf_memory_api), or NULL; lives until shutdown(). Optional. [any-thread] */
    const void* (*extension)(rf_backend*, const char* id);
} rf_backend_api;
#define RF_B_UNLOADABLE 1u  /* safe to dlclose after shutdown() */
#define RF_B_APPROXIMATE 2u /* not attention as defined: chosen only by name */
enum { RF_SANITIZER_NONE = 0, RF_SANITIZER_ADDRESS = 1, RF_SANITIZER_MEMORY = 2, RF_SANITIZER_THREAD = 3 };

/* Extensions: tables through which the core uses a device (rocforge_device_* of its host API, the zeroed memory of its one-call form) and the
 * conformance kit runs on one, without its headers. Each may grow at its end; another meaning is another id. device is one of device()'s. Every slot
 * of a table that is offered is there. Streams, marks and graphs are opaque. */

/* "rocforge.memory/1". Copies wait for what was enqueued on the stream before them (NULL: the device's default stream) and are over when they return.
 */
typedef struct rf_memory_api {
    uint32_t struct_size, reserved;
    /* Device memory, 256-aligned, contents undefined; RF_NO_MEMORY where there is none left. bytes > 0. [any-thread] [blocks] */
    rf_code (*allocate)(rf_backend*, const rf_device*, uint64_t bytes, void**, rf_error*);
    /* Once no enqueued work uses it; NULL is nothing. [any-thread] [blocks] */
    void (*release)(rf_backend*, const rf_device*, void*);
    /* [any-thread] [blocks] */
    rf_code (*to_device)(rf_backend*, const rf_device*, void* dst, const void* src, uint64_t bytes, void* stream, rf_error*);
    /* [any-thread] [blocks] */
    rf_code (*to_host)(rf_backend*, const rf_device*, void* dst, const void* src, uint64_t bytes, void* stream, rf_error*);
    /* A stream that runs beside the default stream. [any-thread] [blocks] */
    rf_code (*stream_create)(rf_backend*, const rf_device*, void**, rf_error*);
    /* NULL is nothing. [any-thread] [blocks] */
    void (*stream_destroy)(rf_backend*, const rf_device*, void*);
    /* Waits until the stream has passed; what failed on the device since shows here. [any-thread] [blocks] */
    rf_code (*synchronize)(rf_backend*, const rf_device*, void* stream, rf_error*);
} rf_memory_api;

/* "rocforge.timer/1": time by the device's own clock. A mark holds one moment. */
typedef struct rf_timer_api {
    uint32_t struct_size, reserved;
    /* [any-thread] [blocks] */
    rf_code (*create)(rf_backend*, const rf_device*, void** mark, rf_error*);
    /* NULL is nothing. [any-thread] [blocks] */
    void (*destroy)(rf_backend*, const rf_device*, void* mark);
    /* The moment at which the stream has done what was enqueued before; overwrites an earlier one. [any-thread] [enqueues] */
    rf_code (*record)(rf_backend*, const rf_device*, void* mark, void* stream, rf_error*);
    /* Microseconds from first to second; waits for both. RF_INVALID where one was never recorded. [any-thread] [blocks] */
    rf_code (*elapsed_us)(rf_backend*, const rf_device*, void* first, void* second, double* us, rf_error*);
} rf_timer_api;

/* "rocforge.graph/1": what is enqueued on a stream between begin and end is kept instead of run, then replayed as one. */
typedef struct rf_graph_api {
    uint32_t struct_size, reserved;
    /* stream is not NULL, and nothing else enqueues on it until end(). [any-thread] [blocks] */
    rf_code (*begin)(rf_backend*, const rf_device*, void* stream, rf_error*);
    /* [any-thread] [blocks] */
    rf_code (*end)(rf_backend*, const rf_device*, void* stream, void** graph, rf_error*);
    /* With the pointers and values of the capture. [any-thread] [enqueues] */
    rf_code (*replay)(rf_backend*, const rf_device*, void* graph, void* stream, rf_error*);
    /* Once no replay is under way; NULL is nothing. [any-thread] [blocks] */
    void (*destroy)(rf_backend*, const rf_device*, void* graph);
} rf_graph_api;

/* The one export: calls host->register_backend() once per backend and does nothing else (no device, thread, I/O or global write), so that
 * a prober may call it. Once a context, so many times in a process and perhaps at once. Anything but RF_OK: the core drops all that this
 * call registered and says why. */
RF_EXPORT rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error* error);
typedef rf_code (*rf_plugin_entry)(const rf_host_api* host, rf_error* error);
#define RF_PLUGIN_ENTRY "rocforge_plugin_v1"

#ifdef __cplusplus
}
#endif
#endif
