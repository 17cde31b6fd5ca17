"""Files of every format, made for the tests: whole ones, and ones made to do harm."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile

from answerbox.contracts import DocumentIn
from answerbox.documents.formats.read import documents
from answerbox.ports import FileIn

XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
WORD_NS = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
WORD_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml"


def written(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def file_in(name: str, **given: Any) -> FileIn:
    return FileIn(upload_id="0" * 32, name=name, size=0, sha256="", **given)


def read_all(folder: Path, name: str, content: bytes | str, **given: Any) -> list[DocumentIn]:
    """What is read in this process of a file of that name, which lies here under another, as an upload does."""
    return list(documents(written(folder / "upload", content), file_in(name, **given)))


def read_one(folder: Path, name: str, content: bytes | str, **given: Any) -> DocumentIn:
    [document] = read_all(folder, name, content, **given)
    return document


def archive(parts: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    return buffer.getvalue()


def paragraph(text: str, style: str | None = None) -> str:
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{properties}<w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p>'


def listed(text: str) -> str:
    numbering = '<w:pPr><w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr></w:pPr>'
    return f"<w:p>{numbering}<w:r><w:t>{escape(text)}</w:t></w:r></w:p>"


def table(rows: Iterable[Iterable[str]]) -> str:
    cells = ["".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) for row in rows]
    return "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in cells) + "</w:tbl>"


def docx(
    *body: str, title: str | None = None, prolog: str = "", more: Mapping[str, str | bytes] | None = None
) -> bytes:
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="{id_}"><w:name w:val="{name}"/></w:style>'
        for id_, name in (("Title", "Title"), ("1", "heading 1"), ("2", "heading 2"))
    )
    levels = '<w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/></w:lvl>'
    numbering = (
        f'<w:abstractNum w:abstractNumId="0">{levels}</w:abstractNum>'
        '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
    )
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": f'{XML}<Types xmlns="{PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{WORD_TYPE}.document.main+xml"/></Types>',
        "_rels/.rels": f'{XML}<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="r1" Type="{OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/_rels/document.xml.rels": f'{XML}<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="r1" Type="{OFFICE}/styles" Target="styles.xml"/>'
        f'<Relationship Id="r2" Type="{OFFICE}/numbering" Target="numbering.xml"/></Relationships>',
        "word/document.xml": f"{XML}{prolog}<w:document {WORD_NS}><w:body>{''.join(body)}</w:body></w:document>",
        "word/styles.xml": f"{XML}<w:styles {WORD_NS}>{styles}</w:styles>",
        "word/numbering.xml": f"{XML}<w:numbering {WORD_NS}>{numbering}</w:numbering>",
    }
    if title:
        parts["docProps/core.xml"] = (
            f'{XML}<cp:coreProperties xmlns:cp="{PACKAGE}/metadata/core-properties" '
            f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{escape(title)}</dc:title></cp:coreProperties>'
        )
    return archive({**parts, **(more or {})})


def xlsx(sheets: Mapping[str, Sequence[Sequence[Any]]], title: str | None = None) -> bytes:
    from openpyxl import Workbook

    workbook = Workbook(write_only=True)
    workbook.properties.title = title
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(row)
    buffer = io.BytesIO()
    workbook.save(buffer)
    return buffer.getvalue()


def pptx(slides: Sequence[tuple[str, Sequence[str], str]], title: str = "") -> bytes:
    """Of each slide: title, points, notes."""
    from pptx import Presentation

    presentation = Presentation()
    presentation.core_properties.title = title
    for heading, points, notes in slides:
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = heading
        slide.placeholders[1].text = "\n".join(points)
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    buffer = io.BytesIO()
    presentation.save(buffer)
    return buffer.getvalue()


def pdf(pages: Sequence[str], title: str | None = None, encrypted: bool = False) -> bytes:
    """Any letters: the font says which code is which letter."""
    codes = {char: code for code, char in enumerate(sorted(set("".join(pages)) - {"\n"}), start=33)}
    mapping = "\n".join(f"<{code:02x}> <{char.encode('utf-16-be').hex()}>" for char, code in codes.items())
    cmap = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /A def /CMapType 2 def\n"
        "1 begincodespacerange <00> <ff> endcodespacerange\n"
        f"{len(codes)} beginbfchar\n{mapping}\nendbfchar endcmap end end"
    )
    kids = " ".join(f"{6 + 2 * number} 0 R" for number in range(len(pages)))
    widths = " ".join(["600"] * 223)
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        f"<< /Type /Font /Subtype /TrueType /BaseFont /Courier /FirstChar 33 /LastChar 255 /Widths [{widths}] "
        "/ToUnicode 4 0 R >>",
        stream(cmap),
        f"<< /Title <feff{(title or '').encode('utf-16-be').hex()}> >>",
    ]
    for number, text in enumerate(pages):
        lines = " T* ".join(f"<{''.join(f'{codes[char]:02x}' for char in line)}> Tj" for line in text.split("\n"))
        objects += [
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 900 800] /Resources << /Font << /F 3 0 R >> >> "
            f"/Contents {7 + 2 * number} 0 R >>",
            stream(f"BT /F 10 Tf 12 TL 50 700 Td {lines} ET" if text else ""),
        ]
    trailer = (
        f"/Encrypt << /Filter /Standard /V 1 /R 2 /P -1 /O <{'11' * 32}> /U <{'22' * 32}> >> " if encrypted else ""
    )
    return pdf_of(objects, f"{trailer}/Info 5 0 R /ID [<{'33' * 16}> <{'33' * 16}>]")


def pdf_of_nested_forms(depth: int = 12, each: int = 10) -> bytes:
    """Every form draws the next one `each` times, so the innermost is drawn `each ** depth` times."""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] /Contents 4 0 R "
        "/Resources << /XObject << /X 5 0 R >> >> >>",
        stream("/X Do"),
    ]
    for number in range(5, 5 + depth):
        inner = f"/Resources << /XObject << /X {number + 1} 0 R >> >>"
        form = f"/Type /XObject /Subtype /Form /BBox [0 0 99 99] {inner}"
        objects.append(stream("/X Do " * each, form))
    objects.append(stream("0 0 9 9 re f", "/Type /XObject /Subtype /Form /BBox [0 0 99 99]"))
    return pdf_of(objects)


def stream(content: str, more: str = "") -> str:
    return f"<< /Length {len(content)} {more} >>\nstream\n{content}\nendstream"


def pdf_of(objects: Sequence[str], trailer: str = "") -> bytes:
    out = "%PDF-1.7\n"
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    size = len(out) - len(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}")
    return (out + f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R {trailer} >>\nstartxref\n{size}\n%%EOF\n").encode(
        "latin-1"
    )
