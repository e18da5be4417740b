//! Cutting bodies into documents: the elements of a JSON array, the lines of NDJSON.
//!
//! The cut looks at brackets and quotation marks only; whether a piece is JSON is for the parser
//! to say. What the parser says about a piece is moved to where the piece stands in the body.

use nexusbase_documents::ParseError;
use nexusbase_documents::bson::raw::RawDocumentBuf;
use nexusbase_documents::error::ParseErrorKind;
use nexusbase_documents::json::parse_document;

/// A document and the line it begins on.
pub(crate) type Line<'a> = (usize, &'a [u8]);

/// Whether a body is an array (and not one document).
pub(crate) fn is_array(body: &[u8]) -> bool {
    body.iter().find(|byte| !is_space(**byte)) == Some(&b'[')
}

/// The lines of a body that have something on them, numbered from 1.
pub(crate) fn lines(body: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let numbered = body.split(|byte| *byte == b'\n').zip(1..);
    numbered
        .map(|(line, number)| (number, line))
        .filter(|(_, line)| !line.iter().all(|byte| is_space(*byte)))
}

/// Reads the elements of an array, at most `max` of them; more are `None`.
///
/// # Errors
/// What is wrong with the text, as of the whole body.
pub(crate) fn array(body: &[u8], max: usize) -> Result<Option<Vec<RawDocumentBuf>>, ParseError> {
    let mut all = Vec::new();
    let mut position = skip_space(body, 0) + 1; // behind the bracket
    if body.get(skip_space(body, position)) == Some(&b']') {
        return end(body, skip_space(body, position) + 1).map(|()| Some(all));
    }
    loop {
        let start = skip_space(body, position);
        let end_of_element = element_end(body, start);
        let element = &body[start..end_of_element];
        if all.len() == max {
            return Ok(None);
        }
        let document = parse_document(element).map_err(|e| moved(e, body, start, all.len()))?;
        all.push(document);
        match body.get(end_of_element) {
            Some(b',') => position = end_of_element + 1,
            Some(_) => return end(body, end_of_element + 1).map(|()| Some(all)),
            None => {
                let expected = "a comma, or ] after the last document";
                let found = "the end of the text".to_owned();
                return Err(syntax(body, body.len(), expected, found));
            }
        }
    }
}

/// Where the element that starts at `start` ends: at a comma or bracket that belongs to the array
/// around it, or at the end of the text.
fn element_end(body: &[u8], start: usize) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (position, byte) in body.iter().enumerate().skip(start) {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b',' | b']' if depth == 0 => return position,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    body.len()
}

/// Checks that nothing follows.
fn end(body: &[u8], position: usize) -> Result<(), ParseError> {
    let position = skip_space(body, position);
    if position == body.len() {
        return Ok(());
    }
    let found = "more text".to_owned();
    Err(syntax(body, position, "the end of the text", found))
}

fn syntax(body: &[u8], position: usize, expected: &'static str, found: String) -> ParseError {
    let (line, column) = place(body, position);
    ParseError {
        line,
        column,
        at: String::new(),
        kind: ParseErrorKind::Syntax { expected, found },
    }
}

/// What was said about the piece at `start`, said about the body.
fn moved(mut error: ParseError, body: &[u8], start: usize, index: usize) -> ParseError {
    let (line, column) = place(body, start);
    if error.line == 1 {
        error.column += column - 1;
    }
    error.line += line - 1;
    error.at = format!("/{index}{}", error.at);
    error
}

/// Line and column of a byte, both from 1.
fn place(body: &[u8], position: usize) -> (usize, usize) {
    let before = &body[..position];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    (
        line,
        String::from_utf8_lossy(&before[start..]).chars().count() + 1,
    )
}

fn skip_space(body: &[u8], from: usize) -> usize {
    let rest = body.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| is_space(**byte)).count()
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(body: &str) -> (usize, usize, String) {
        let error = array(body.as_bytes(), 10).unwrap_err();
        (error.line, error.column, error.at)
    }

    #[test]
    fn arrays_are_cut_where_their_elements_end() {
        for (body, count) in [
            ("[]", 0),
            (" [ \n ] ", 0),
            ("[{}]", 1),
            (r#"[{"a":"],[\"{"},{"b":[1,{"c":[]}]} , {}]"#, 3),
        ] {
            assert!(is_array(body.as_bytes()));
            let found = array(body.as_bytes(), 10).unwrap().unwrap();
            assert_eq!(found.len(), count, "{body}");
        }
        assert_eq!(array(b"[{},{},{}]", 2).unwrap(), None);
    }

    #[test]
    fn errors_name_the_place_in_the_whole_body() {
        assert_eq!(error("[{},\n {\"a\": x}]"), (2, 8, "/1/a".to_owned()));
        assert_eq!(error("[{}, 5]"), (1, 6, "/1".to_owned()));
        assert_eq!(error("[{},]"), (1, 5, "/1".to_owned()));
        assert_eq!(error("[,{}]"), (1, 2, "/0".to_owned()));
        assert_eq!(error("[{}"), (1, 4, String::new()));
        assert_eq!(error("["), (1, 2, "/0".to_owned()));
        assert_eq!(error("[{}] x"), (1, 6, String::new()));
        assert_eq!(error("[{}{}]"), (1, 4, "/0".to_owned()));
    }

    #[test]
    fn lines_are_numbered_and_empty_ones_left_out() {
        let found: Vec<usize> = lines(b"{}\r\n\n  \n{}\n")
            .map(|(number, _)| number)
            .collect();
        assert_eq!(found, [1, 4]);
    }
}
