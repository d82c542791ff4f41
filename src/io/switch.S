// void fiber_swap(void **save, void *to)
// Saves what the calling convention lets a callee keep, stores the stack pointer in *save, takes `to` as
// stack pointer and gives back what was saved there. fiber.c lays out the first frame by hand.
// It is marked for indirect branch tracking only: a shadow stack cannot follow these switches, so the linker must clear
// that mark.

    .text
    .globl fiber_swap
    .type fiber_swap, %function
    .p2align 4
fiber_swap:
    .cfi_startproc
#if defined(__x86_64__)
    endbr64
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
#elif defined(__aarch64__)
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
#endif
    .cfi_endproc
    .size fiber_swap, .-fiber_swap
    .section .note.GNU-stack, "", %progbits
#if defined(__x86_64__) && defined(__CET__) && (__CET__ & 1)
    .section .note.gnu.property, "a"
    .p2align 3
    .long 4, 16, 5
    .asciz "GNU"
    .long 0xc0000002, 4, 1, 0 // GNU_PROPERTY_X86_FEATURE_1_AND: IBT
#endif
