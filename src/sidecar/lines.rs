//! Lines of bounded length, from any reader.
//!
//! A line that is too long is skipped to its end and reported, so that the next one is read whole. Nothing is
//! decoded here: a line is bytes.

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// One line, without its line feed.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// The bytes of the line.
    Whole(Vec<u8>),
    /// The line was longer than the limit, and is gone.
    TooLong,
}

/// Reads lines; dropping a read and starting it again loses nothing.
#[derive(Debug)]
pub struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    too_long: bool,
    bytes_max: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Reads from `reader` lines of at most `bytes_max` bytes, the line feed not counted.
    pub fn new(reader: R, bytes_max: usize) -> Self {
        Self { reader: BufReader::new(reader), line: Vec::new(), too_long: false, bytes_max }
    }

    /// Reads the next line; nothing at the end. A last line without a line feed counts.
    ///
    /// # Errors
    /// What the reader says.
    pub async fn next(&mut self) -> std::io::Result<Option<Line>> {
        loop {
            let buffer = self.reader.fill_buf().await?;
            if buffer.is_empty() {
                let rest = self.too_long || !self.line.is_empty();
                return Ok(rest.then(|| self.take()));
            }
            let mut parts = buffer.splitn(2, |byte| *byte == b'\n');
            let head = parts.next().unwrap_or_default();
            let ended = parts.next().is_some();
            let used = head.len() + usize::from(ended);
            if self.line.len() + head.len() > self.bytes_max {
                self.too_long = true;
                self.line = Vec::new();
            }
            if !self.too_long {
                self.line.extend_from_slice(head);
            }
            self.reader.consume(used);
            if ended {
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> Line {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.too_long) { Line::TooLong } else { Line::Whole(line) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &[u8], bytes_max: usize) -> Vec<Line> {
        let mut lines = Lines::new(text, bytes_max);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        all
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn lines_come_out_as_they_went_in() {
        assert_eq!(read(b"a\r\n\nbc", 10).await, [whole("a\r"), whole(""), whole("bc")]);
        assert_eq!(read(b"", 10).await, []);
    }

    #[tokio::test]
    async fn a_line_over_the_limit_costs_only_itself() {
        assert_eq!(read(b"1234\n12345\n1\n", 4).await, [whole("1234"), Line::TooLong, whole("1")]);
        let long = [vec![b'x'; 100_000], b"\nok".to_vec()].concat();
        assert_eq!(read(&long, 4).await, [Line::TooLong, whole("ok")]);
        assert_eq!(read(b"12345", 4).await, [Line::TooLong]);
    }
}
