//! Lines on their way out: what is dropped is counted, and nothing is torn.

use super::*;

#[test]
fn what_does_not_fit_is_dropped_and_counted_exactly() {
    let rig = rig(plan(Format::Json), 200_000);
    rig.sink.stall(true);
    let total = 5_000;
    for _ in 0..total {
        drop(rig.open(clock::now()));
    }
    rig.journal.flush();
    let dropped = rig.hub.process().access_log_drops();
    assert!(dropped > 0, "nothing was dropped");
    rig.sink.stall(false);
    let (files, hub) = rig.finish();
    assert_eq!(hub.process().access_log_drops(), dropped);
    assert_eq!(files[0].lines().count() as u64 + dropped, total);
    for line in files[0].lines() {
        assert!(
            line.starts_with("{\"time\"") && line.ends_with('}'),
            "{line}"
        );
    }
}

#[test]
fn a_full_disk_tears_no_line_and_loses_none_when_it_has_room_again() {
    let rig = rig(plan(Format::Json), 1 << 20);
    rig.sink.room(Some(1_000));
    rig.sink.step(77);
    for _ in 0..100 {
        drop(rig.open(clock::now()));
    }
    rig.journal.flush();
    rig.sink.wait_for_writes(14);
    rig.sink.room(None);
    let (files, hub) = rig.finish();
    assert_eq!(hub.process().access_log_drops(), 0);
    assert_eq!(files[0].lines().count(), 100);
    for line in files[0].lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn an_output_that_stays_full_loses_the_rest_and_says_how_much() {
    let rig = rig(plan(Format::Json), 1 << 20);
    rig.sink.room(Some(1_000));
    for _ in 0..100 {
        drop(rig.open(clock::now()));
    }
    let (files, hub) = rig.finish();
    let whole = files[0].bytes().filter(|byte| *byte == b'\n').count();
    assert_eq!(whole as u64 + hub.process().access_log_drops(), 100);
}

#[test]
fn reopening_loses_nothing() {
    let (file, rotated) = (TempFile::new("live"), TempFile::new("rotated"));
    let output = Output::File(file.0.clone());
    let log = AccessLog::new(output.clone(), Format::Json, 1.0, &[Field::RequestId], &[]);
    let rig = rig(log, 1 << 20);
    rig.writer.switch(Sink::open(&output).unwrap());
    for _ in 0..50 {
        drop(rig.open(clock::now()));
    }
    rig.journal.flush();
    fs::rename(&file.0, &rotated.0).unwrap();
    rig.writer.reopen();
    for _ in 0..70 {
        drop(rig.open(clock::now()));
    }
    rig.finish();
    assert_eq!(rotated.text().lines().count(), 50);
    assert_eq!(file.text().lines().count(), 70);
}

#[test]
fn no_line_is_glued_to_a_torn_one() {
    let file = TempFile::new("torn");
    fs::write(&file.0, "{\"request_id\":\"ab").unwrap();
    let output = Output::File(file.0.clone());
    let log = AccessLog::new(output.clone(), Format::Json, 1.0, &[Field::Reason], &[]);
    let rig = rig(log, 1 << 20);
    rig.writer.switch(Sink::open(&output).unwrap());
    drop(rig.open(clock::now()));
    rig.finish();
    let expected = "{\"request_id\":\"ab\n{\"reason\":\"client_abort\"}\n";
    assert_eq!(file.text(), expected);
}

/// Whoever reads standard output may stall: where the configuration says another output, lines go there all the same.
#[test]
fn a_reader_that_stalls_does_not_keep_lines_from_another_output() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let file = TempFile::new("elsewhere");
    let output = Output::File(file.0.clone());
    let log = AccessLog::new(output.clone(), Format::Json, 1.0, &[Field::RequestId], &[]);
    let rig = rig(log, 8 << 20);
    let pipe = fs::File::from(std::os::fd::OwnedFd::from(writer));
    rig.writer.switch(Sink::standard(pipe));
    let write = |lines| {
        for _ in 0..lines {
            drop(rig.open(clock::now()));
        }
        rig.journal.flush();
    };
    // More than a pipe holds.
    write(3_000);
    std::thread::sleep(Duration::from_millis(300));
    rig.writer.switch(Sink::open(&output).unwrap());
    write(50);
    let (_, hub) = rig.finish();
    assert_eq!(hub.process().access_log_drops(), 0);
    let mut piped = String::new();
    std::io::Read::read_to_string(&mut reader, &mut piped).unwrap();
    let whole = piped.bytes().filter(|byte| *byte == b'\n').count();
    assert_eq!(
        whole + file.text().lines().count(),
        3_050,
        "none lost, none twice"
    );
}
