#include "h5_outline.h"

#include <stdlib.h>
#include <string.h>
#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

enum { PAGE = 4096 };

struct terni_outline_page {
    uint64_t at; /* in pages */
    unsigned char *bytes;
};

/* What the library knows as an open file. */
typedef struct opened {
    H5FD_t base; /* first: the library's own */
    terni_outline *outline;
    haddr_t end; /* of what it has given away */
} opened;

/* ---- pages ------------------------------------------------------------------------------------------------------- */

/* The first page at or behind this one. */
static size_t find(const terni_outline *o, uint64_t at) {
    size_t low = 0, high = o->n_pages;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (o->pages[mid].at < at)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static unsigned char *page(terni_outline *o, uint64_t at) {
    const size_t i = find(o, at);
    if (i < o->n_pages && o->pages[i].at == at) return o->pages[i].bytes;
    if (o->n_pages == o->cap_pages) {
        const size_t cap = o->cap_pages ? 2 * o->cap_pages : 64;
        terni_outline_page *more = terni_resize(o->pages, cap * sizeof *more);
        if (!more) return NULL;
        o->pages = more;
        o->cap_pages = cap;
    }
    unsigned char *bytes = terni_calloc(PAGE);
    if (!bytes) return NULL;
    memmove(&o->pages[i + 1], &o->pages[i], (o->n_pages - i) * sizeof *o->pages);
    o->pages[i] = (terni_outline_page){at, bytes};
    o->n_pages++;
    return bytes;
}

static size_t up_to_page_end(uint64_t addr, size_t size) {
    const size_t room = PAGE - (size_t)(addr % PAGE);
    return size < room ? size : room;
}

/* ---- the driver -------------------------------------------------------------------------------------------------- */

static H5FD_t *open_it(const char *name, unsigned flags, hid_t access, haddr_t most) {
    (void)name, (void)flags, (void)most;
    terni_outline *const *o = H5Pget_driver_info(access);
    opened *f = o ? terni_calloc(sizeof *f) : NULL;
    if (f) f->outline = *o;
    return f ? &f->base : NULL;
}

static herr_t close_it(H5FD_t *file) {
    opened *f = (opened *)file;
    f->outline->end = f->end;
    terni_free(f, sizeof *f);
    return 0;
}

static herr_t query(const H5FD_t *file, unsigned long *flags) {
    (void)file;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t get_end(const H5FD_t *file, H5FD_mem_t type) {
    (void)type;
    return ((const opened *)file)->end;
}
static herr_t set_end(H5FD_t *file, H5FD_mem_t type, haddr_t addr) {
    (void)type;
    ((opened *)file)->end = addr;
    return 0;
}

static herr_t read_it(H5FD_t *file, H5FD_mem_t type, hid_t how, haddr_t addr, size_t size, void *out) {
    (void)type, (void)how;
    const terni_outline *o = ((opened *)file)->outline;
    for (unsigned char *to = out; size > 0;) {
        const size_t n = up_to_page_end(addr, size), i = find(o, addr / PAGE);
        if (i < o->n_pages && o->pages[i].at == addr / PAGE)
            memcpy(to, o->pages[i].bytes + addr % PAGE, n);
        else
            memset(to, 0, n);
        addr += n, to += n, size -= n;
    }
    return 0;
}

/* Without memory it goes on as if all were well: the library leaks what it has open when a write fails at closing. */
static herr_t write_it(H5FD_t *file, H5FD_mem_t type, hid_t how, haddr_t addr, size_t size, const void *data) {
    (void)type, (void)how;
    terni_outline *o = ((opened *)file)->outline;
    for (const unsigned char *from = data; size > 0;) {
        const size_t n = up_to_page_end(addr, size);
        unsigned char *to = page(o, addr / PAGE);
        if (to)
            memcpy(to + addr % PAGE, from, n);
        else
            o->failed = true;
        addr += n, from += n, size -= n;
    }
    return 0;
}

static const H5FD_class_t driver = {
#ifdef H5FD_CLASS_VERSION
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)511, /* one of those that are for testing; it stands in no file */
#endif
    .name = "tern_outline",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(terni_outline *),
    .open = open_it,
    .close = close_it,
    .query = query,
    .get_eoa = get_end,
    .set_eoa = set_end,
    .get_eof = get_end,
    .read = read_it,
    .write = write_it,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

hid_t terni_outline_access(terni_outline *o) {
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    o->drivers = H5FDregister(&driver);
    if (access >= 0 && o->drivers >= 0 && H5Pset_driver(access, o->drivers, &o) >= 0 &&
        H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST) >= 0)
        return access;
    if (access >= 0) H5Pclose(access);
    return -1;
}

void terni_outline_drop(terni_outline *o) {
    if (o->drivers > 0) H5FDunregister(o->drivers);
    for (size_t i = 0; i < o->n_pages; i++) terni_free(o->pages[i].bytes, PAGE);
    terni_mfree(o->pages);
    *o = (terni_outline){0};
}

/* ---- all of the file --------------------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b) {
    const uint64_t x = ((const terni_piece *)a)->at, y = ((const terni_piece *)b)->at;
    return (x > y) - (x < y);
}

/* What the library wrote from `from` to `to`. */
static terni_piece *add_pages(const terni_outline *o, terni_piece *out, uint64_t from, uint64_t to) {
    for (size_t i = find(o, from / PAGE); i < o->n_pages && o->pages[i].at * PAGE < to; i++) {
        const uint64_t start = o->pages[i].at * PAGE, a = start > from ? start : from,
                       b = start + PAGE < to ? start + PAGE : to;
        *out++ = (terni_piece){a, o->pages[i].bytes + (a - start), (size_t)(b - a)};
    }
    return out;
}

terni_piece *terni_outline_pieces(const terni_outline *o, terni_piece *elements, size_t n, size_t *count) {
    if (o->failed) return NULL; /* recorded when it happened */
    terni_piece *all = terni_malloc((o->n_pages + 2 * n + 1) * sizeof *all), *out = all;
    if (!all) return NULL;
    uint64_t at = 0;
    qsort(elements, n, sizeof *elements, by_place);
    for (size_t i = 0; i <= n; i++) {
        const uint64_t start = i < n ? elements[i].at : o->end;
        if (start < at || start > o->end) {
            terni_mfree(all);
            return terni_null(TERN_ERR_INTERNAL, "checkpoint: HDF5 gave two datasets one place");
        }
        out = add_pages(o, out, at, start);
        if (i == n) break;
        *out++ = elements[i];
        at = start + elements[i].bytes;
    }
    *count = (size_t)(out - all);
    return all;
}
