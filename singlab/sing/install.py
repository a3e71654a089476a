"""Installing by name: ``install(system, image)``, and the installer that need not believe a word.

An image can carry its SIL. Then ``reverify=True`` verifies that SIL again, compiles it and compares: the image is
taken only if the same bytes come out, so neither its maker nor its compiler is trusted, only the verifier and the
compiler here. It is proof-carrying code in the simplest form; the kernel itself knows no language.
"""

from __future__ import annotations

from singlab.kernel.image import SealedImage, open_image
from singlab.kernel.manifest import InstallError, fingerprint
from singlab.sing.build import build, seal_module
from singlab.sing.declaration import Declaration
from singlab.sing.errors import SipError
from singlab.sing.program import Program
from singlab.sing.sil_text import parse_sil
from singlab.sing.verifier import verify


def install(system, image: SealedImage | Program, reverify: bool = False):
    """Install an image, or build a program and install that.

    Parameters
    ----------
    system : System
    image : SealedImage or Program
    reverify : bool
        Verify the SIL that the image carries (``build(program, carry_sil=True)``) and compile it once more, instead of
        believing that somebody did.

    Returns
    -------
    Installed

    Raises
    ------
    InstallError, SealError
        If the image is refused.
    SipError
        If a program is refused.
    """
    if not callable(getattr(system, "install", None)):
        raise InstallError(f"{system!r:.80} is no system. Make one, System(), and give it first: install(system, image).")
    if isinstance(image, Program):
        image = build(image, carry_sil=reverify)
    if reverify and isinstance(image, SealedImage):
        check_again(image)
    return system.install(image)


def check_again(image: SealedImage) -> None:
    """Refuse an image unless its code is what the verified SIL it carries compiles to.

    Raises
    ------
    InstallError
    SealError
        If it is not what was sealed.
    """
    image = open_image(image.data, image.name)
    manifest = image.manifest
    if not manifest.sil:
        raise InstallError(f"{image.name}: it does not carry its SIL, so it cannot be verified again. Build it with carry_sil=True.")
    try:
        module = parse_sil(manifest.sil, image.name)
        verify(module)
        declared = Declaration(collector=manifest.collector)
        if any(_same(image, seal_module(module, True, optimiser=optimiser, declared=declared)) for optimiser in (True, False)):
            return
    except SipError as error:
        raise InstallError(f"{image.name}: the SIL it carries is refused, at line {error.line} of it: {error.message} "
                           f"(rule {error.rule}). Build it again from its source.") from None  # fmt: skip
    raise InstallError(f"{image.name}: its code is not what the SIL it carries compiles to. Build it again from its source.")


def _same(image: SealedImage, again: SealedImage) -> bool:
    """Whether an image is, in all that follows from its SIL, what was compiled anew."""
    if again.code != image.code:
        return False
    for name in _FOLLOWS:
        if getattr(image.manifest, name) != getattr(again.manifest, name):
            raise InstallError(f"{image.name}: its manifest says of its {name.replace('_', ' ')} what the SIL it carries does not. "
                               "Build it again from its source.")  # fmt: skip
    for name, description in again.manifest.contracts.items():
        known = image.manifest.contracts.get(name)
        if known is None or fingerprint(name, known) != fingerprint(name, description):
            raise InstallError(f"{image.name}: its contract {name} is not the one that the SIL it carries keeps to. "
                               "Build it again from its source.")  # fmt: skip
    return True


#: What of a manifest follows from the SIL; its contracts do too.
_FOLLOWS = ("entry", "text_bytes", "stack_bytes", "parameters", "relocations", "result", "unlink", "functions")
