"""Emails as people write them: what each becomes, and what is refused."""

# What is written, and the form in which it is stored and unique.
TAKEN = {
    "ann@example.com": "ann@example.com",
    " \tAnn@Example.COM\n": "ann@example.com",
    "ann@bücher.example": "ann@xn--bcher-kva.example",
    "ANN@BÜCHER.Example": "ann@xn--bcher-kva.example",
    "ann@bu\u0308cher.example": "ann@xn--bcher-kva.example",
    "ann@XN--bcher-kva.example": "ann@xn--bcher-kva.example",
    "ann@faß.example": "ann@xn--fa-hia.example",
    "ann@例え.テスト": "ann@xn--r8jz45g.xn--zckzah",
    "ann@مثال.إختبار": "ann@xn--mgbh0fb.xn--kgbechtv",
    "o'hara@example.com": "o'hara@example.com",
    "a+b/c=d@example.com": "a+b/c=d@example.com",
    "!#$%&'*+-/=?^_`{|}~@example.com": "!#$%&'*+-/=?^_`{|}~@example.com",
    "a.b.c@mail.example.co.uk": "a.b.c@mail.example.co.uk",
    "1@r3---sn.example": "1@r3---sn.example",
    f"{'x' * 64}@example.com": f"{'x' * 64}@example.com",
    "ann@a.b.c.d.e.f.g.h.example.com": "ann@a.b.c.d.e.f.g.h.example.com",
    "ann@example.test": "ann@example.test",
    "ann@printer.local": "ann@printer.local",
    "ann@localhost": "ann@localhost",
}

REFUSED = [
    "",
    " ",
    "ann",
    "@example.com",
    "ann@",
    "ann@example",
    "ann@@example.com",
    "ann@bob@example.com",
    ".ann@example.com",
    "ann.@example.com",
    "a..b@example.com",
    "a b@example.com",
    '"ann"@example.com',
    "ann(her)@example.com",
    "ann,bob@example.com",
    "Ann <ann@example.com>",
    "ann\\b@example.com",
    "ann@.example.com",
    "ann@example.com.",
    "ann@example..com",
    "ann@-example.com",
    "ann@example-.com",
    "ann@exam_ple.com",
    "ann@exa mple.com",
    "ann@[192.0.2.1]",
    "ann@xn--a.example",  # punycode of nothing
    "ann@xn--.example",
    f"ann@{'x' * 64}.example",
    f"{'x' * 65}@example.com",
    f"ann@{'x.' * 126}example",
    "a\x00b@example.com",
    "a\nb@example.com",
    "ann@exam\x1bple.com",
    "ann@exam\ud83dple.com",
    # Look-alikes, which must not be folded into the plain address.
    "\u212aate@example.com",  # KELVIN SIGN
    "ann@\u212aate.example",
    "ann@bü\u212aer.example",
    "\uff41nn@example.com",  # a fullwidth a
    "ann@ex\uff41mple.com",
    "ann@example\u3002com",  # an ideographic full stop
    "ann@exam\u00adple.com",  # a soft hyphen, which nobody sees
    "ann@exam\u200bple.com",  # a space of no width
    "ann@exam\u200dple.com",  # a joiner where none may be
    "ann@exa\u017fmple.com",  # a long s
    "\u00a0ann@example.com",  # a space that is no plain one
    "änn@example.com",
    "ann@☃.example",
    "x" * 1020,
]
