"""Translates the DEX files of an APK to class files, so that a JVM runs what Android would.

    /usr/bin/python3 dex_to_jar.py FILE.apk OUT.jar

By Debian's enjarify, with one correction: it takes the 32-bit operand of const-wide/32 for
unsigned, where the Dalvik bytecode specification has it signed, so -1L would become 4294967295L. A
class that cannot be translated is an error. ONNX Runtime's own are left out: enjarify writes class
files of Java 5, whose interfaces have no static methods, and the JVM's jar has the same classes.
"""

import sys
import zipfile

from enjarify import dalvikformats
from enjarify.jvm.optimization import options
from enjarify.main import translate, writeToJar

CONST_WIDE_32 = 0x17
LEFT_OUT = "ai/onnxruntime/"
_decode = dalvikformats.decode


def decode(shorts, position, opcode):
    end, operands = _decode(shorts, position, opcode)
    if opcode == CONST_WIDE_32:
        operands[-1] = dalvikformats.sign(operands[-1], 32)
    return end, operands


def main(apk: str, jar: str) -> None:
    dalvikformats.decode = decode
    classes: dict = {}
    with zipfile.ZipFile(apk) as file:
        for name in file.namelist():
            if name.startswith("classes") and name.endswith(".dex"):
                translate(file.read(name), options.NONE, classes=classes, allowErrors=False)
    classes = {name: code for name, code in classes.items() if not name.startswith(LEFT_OUT)}
    writeToJar(jar, classes)
    print(f"{len(classes)} classes translated from DEX", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
