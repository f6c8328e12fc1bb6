use crate::ground::{Ground, run, says};

pub(super) async fn bytes_are_kept_as_they_are(ground: &Ground) {
    let mut machine = ground.boot().await;
    let ran = run(&mut *machine, r"printf 'a\000b\377\376\n\n\r\tc'").await;
    assert_eq!(ran.out, b"a\0b\xff\xfe\n\n\r\tc");
    let ran = run(&mut *machine, r"printf '\303'; printf '\244' ; printf no-newline").await;
    assert_eq!(ran.out, "äno-newline".as_bytes());
    machine.close().await.unwrap();
}

pub(super) async fn streams_are_kept_apart(ground: &Ground) {
    let mut machine = ground.boot().await;
    let ran = run(
        &mut *machine,
        "echo out; echo err >&2; echo out2; echo err2 >&2; exit 5",
    )
    .await;
    assert_eq!(
        (ran.exit, ran.out_text(), ran.err_text()),
        (5, "out\nout2\n".into(), "err\nerr2\n".into())
    );
    says(
        &mut *machine,
        "{ echo one; echo two >&2; echo three; } 2>&1",
        "one\ntwo\nthree\n",
    )
    .await;
    machine.close().await.unwrap();
}

pub(super) async fn ten_megabytes_arrive_in_order(ground: &Ground) {
    let mut machine = ground.boot().await;
    let ran = run(&mut *machine, "seq 1 1400000; seq 1 100000 >&2").await;
    assert!(ran.out.len() > 10_000_000);
    for (text, last) in [(ran.out_text(), 1_400_000), (ran.err_text(), 100_000)] {
        let mut lines = text.lines().map(|line| line.parse::<u32>().unwrap());
        assert!((1..=last).all(|wanted| lines.next() == Some(wanted)));
        assert_eq!(lines.next(), None);
    }
    machine.close().await.unwrap();
}

pub(super) async fn nothing_is_nothing(ground: &Ground) {
    let mut machine = ground.boot().await;
    says(&mut *machine, "true", "").await;
    says(&mut *machine, "printf ''", "").await;
    machine.close().await.unwrap();
}

/// Not even while one holds the output stream open does it keep the command from ending.
pub(super) async fn background_processes_end_with_the_command(ground: &Ground) {
    let mut machine = ground.boot().await;
    says(
        &mut *machine,
        "{ sleep 1000; echo late > late; } & echo first",
        "first\n",
    )
    .await;
    says(&mut *machine, "ls", "").await;
    machine.close().await.unwrap();
}
