//! The page and its answers over HTTP, to this machine alone. Every address that is served is in [`routes`]; a picture is asked for by
//! its number, so that no address names a file.
//!
//! Questions to the encoders are answered by the thread that has them, one after the other; pictures are prepared beside that.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use densesiam::error::Error;
use densesiam::explore::{Explorer, read_picture};
use densesiam_data::decode::DecodeLimits;
use densesiam_data::index::ImageIndex;
use densesiam_data::reader::size_seen;
use densesiam_data::resize::{ResizeScratch, resize_to};
use densesiam_engine::interrupt::Interrupt;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

/// The page works without any other address, and no other page may ask it.
const HEADERS: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'none'; img-src 'self' data:; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// How long to wait for a question before looking for Ctrl-C.
const PATIENCE: Duration = Duration::from_millis(200);
/// Threads that prepare pictures.
const PAINTERS: usize = 2;
/// Questions that may wait.
const WAITING: usize = 64;
/// The most pictures in one list.
const MOST_LISTED: usize = 200;
/// Similar patches and pictures that an answer has.
const SHOWN: usize = 24;
/// Pixels along the shorter side of a picture.
const SIDES: std::ops::RangeInclusive<u32> = 16..=1024;
/// Quality of the pictures, of 100.
const QUALITY: u8 = 88;

/// A server that listens, and does not answer yet.
pub(super) struct Server {
    listener: TcpListener,
    port: u16,
}

/// What the encoders are asked.
#[derive(Debug)]
enum Question {
    About,
    Like { encoder: usize, picture: usize, point: [f64; 2] },
    Similar(OfPicture),
    Colours(OfPicture),
    Categories(OfPicture),
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct OfPicture {
    encoder: usize,
    picture: usize,
}

#[derive(Debug, Deserialize)]
struct OfPoint {
    encoder: usize,
    picture: usize,
    x: f64,
    y: f64,
}

#[derive(Debug, Deserialize)]
struct OfNames {
    from: usize,
    count: usize,
    #[serde(default)]
    name: String,
}

#[derive(Debug, Deserialize)]
struct OfSide {
    picture: usize,
    side: u32,
}

/// A question, and where its answer goes; `None` where there is no such picture or encoder.
type Asked = (Question, oneshot::Sender<Result<Option<Value>, Error>>);

/// What the threads of the server share.
#[derive(Clone)]
struct Shared {
    questions: SyncSender<Asked>,
    index: Arc<ImageIndex>,
    limits: DecodeLimits,
}

impl Server {
    /// Listens on a port of this machine, which no other machine reaches.
    pub(super) fn bind(port: u16) -> Result<Self, Error> {
        let refused = |reason: std::io::Error| {
            Error::Usage(format!(
                "port {port} cannot be used ({reason}); name another, or --port 0 for any that is free"
            ))
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let port = listener.local_addr().map_err(refused)?.port();
        Ok(Self { listener, port })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Answers until a signal asks to stop.
    pub(super) fn serve(self, explorer: &Explorer, interrupt: &Interrupt) -> Result<(), Error> {
        let (questions, asked) = sync_channel::<Asked>(WAITING);
        let (index, limits) = (Arc::clone(&explorer.index), explorer.limits());
        let routes = routes(Shared { questions, index, limits });
        let failed = |error: std::io::Error| Error::Internal(format!("the page cannot be served: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(PAINTERS)
            .build()
            .map_err(failed)?;
        let serving = move || {
            runtime.block_on(async {
                axum::serve(tokio::net::TcpListener::from_std(self.listener)?, routes).await
            })
        };
        let server = thread::Builder::new().name("server".into()).spawn(serving).map_err(failed)?;
        let session =
            format!("{:x}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos());
        while interrupt.requested().is_none() {
            if server.is_finished() {
                let ended = || Error::Internal("the page is no longer served".into());
                return server.join().map_err(|_| ended())?.map_err(failed);
            }
            match asked.recv_timeout(PATIENCE) {
                // A browser that has gone needs no answer.
                Ok((_, reply)) if reply.is_closed() => {}
                Ok((question, reply)) => drop(reply.send(timed(&question, explorer, &session))),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
        Ok(())
    }
}

fn routes(shared: Shared) -> Router {
    let file = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], text) })
    };
    Router::new()
        .route("/", file("text/html; charset=utf-8", include_str!("page.html")))
        .route("/page.css", file("text/css; charset=utf-8", include_str!("page.css")))
        .route("/page.js", file("text/javascript; charset=utf-8", include_str!("page.js")))
        .route("/pictures", get(pictures))
        .route("/picture", get(picture))
        .route("/about", get(|State(shared): State<Shared>| ask(shared, Question::About)))
        .route(
            "/like",
            get(|State(shared): State<Shared>, Query(of): Query<OfPoint>| {
                let OfPoint { encoder, picture, x, y } = of;
                ask(shared, Question::Like { encoder, picture, point: [x, y] })
            }),
        )
        .route(
            "/similar",
            get(|State(shared): State<Shared>, Query(of): Query<OfPicture>| {
                ask(shared, Question::Similar(of))
            }),
        )
        .route(
            "/colours",
            get(|State(shared): State<Shared>, Query(of): Query<OfPicture>| {
                ask(shared, Question::Colours(of))
            }),
        )
        .route(
            "/categories",
            get(|State(shared): State<Shared>, Query(of): Query<OfPicture>| {
                ask(shared, Question::Categories(of))
            }),
        )
        .layer(middleware::from_fn(guarded))
        .with_state(shared)
}

/// Answers what was asked for under a name of this machine only: a page of another site that lets its own name stand for 127.0.0.1 is
/// refused. The port may be that of a tunnel.
async fn guarded(request: Request, next: Next) -> Response {
    let mut response = if is_asked_here(request.headers()) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "this page is served to this machine alone").into_response()
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

fn is_asked_here(headers: &HeaderMap) -> bool {
    let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    // A browser says where a request comes from; other programs say nothing.
    let is_own = header(HeaderName::from_static("sec-fetch-site")).is_none_or(|site| site != "cross-site");
    is_own && header(HOST).is_some_and(is_of_this_machine)
}

fn is_of_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["127.0.0.1", "localhost", "[::1]"].contains(&name)
}

const NOT_THERE: (StatusCode, &str) =
    (StatusCode::NOT_FOUND, "there is no such picture or encoder, or it cannot be read");

async fn ask(shared: Shared, question: Question) -> Response {
    let (reply, answer) = oneshot::channel();
    if shared.questions.try_send((question, reply)).is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many questions at once").into_response();
    }
    match answer.await {
        Ok(Ok(Some(answer))) => Json(answer).into_response(),
        Ok(Ok(None)) => NOT_THERE.into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the program is ending").into_response(),
    }
}

/// The names that contain a text, in upper or lower case.
async fn pictures(State(shared): State<Shared>, Query(of): Query<OfNames>) -> Response {
    let listed = spawn_blocking(move || {
        let (text, count) = (of.name.to_lowercase(), of.count.min(MOST_LISTED));
        let fits = |&picture: &usize| {
            text.is_empty() || name_of(&shared.index, picture).to_lowercase().contains(&text)
        };
        let found: Vec<usize> = (0..shared.index.len()).filter(fits).collect();
        let listed = found.iter().skip(of.from).take(count);
        let named = |&picture: &usize| json!({ "picture": picture, "name": name_of(&shared.index, picture) });
        json!({ "all": found.len(), "pictures": listed.map(named).collect::<Vec<_>>() })
    });
    listed.await.map_or_else(|_| NOT_THERE.into_response(), |listed| Json(listed).into_response())
}

/// The name of a picture, relative to the folder that was named.
fn name_of(index: &ImageIndex, picture: usize) -> String {
    index.relative_path(picture).display().to_string()
}

async fn picture(State(shared): State<Shared>, Query(of): Query<OfSide>) -> Response {
    let side = of.side.clamp(*SIDES.start(), *SIDES.end());
    match spawn_blocking(move || jpeg(&shared, of.picture, side)).await {
        Ok(Some(bytes)) => {
            ([(CONTENT_TYPE, "image/jpeg"), (CACHE_CONTROL, "max-age=3600")], bytes).into_response()
        }
        _ => NOT_THERE.into_response(),
    }
}

/// A picture whose shorter side has at most so many pixels; `None` if there is none, or if it cannot be read.
fn jpeg(Shared { index, limits, .. }: &Shared, picture: usize, side: u32) -> Option<Vec<u8>> {
    let picture = read_picture(index, picture, limits)?;
    let shorter = picture.width.min(picture.height).min(side);
    let [width, height] = size_seen([picture.width, picture.height], shorter);
    let shown = resize_to(&picture, width, height, &mut ResizeScratch::default()).ok()?;
    let mut written = Vec::new();
    JpegEncoder::new_with_quality(&mut written, QUALITY)
        .encode(&shown.pixels, shown.width, shown.height, ExtendedColorType::Rgb8)
        .ok()?;
    Some(written)
}

/// The answer, with how long it took.
fn timed(question: &Question, explorer: &Explorer, session: &str) -> Result<Option<Value>, Error> {
    let start = Instant::now();
    let mut answer = answer(question, explorer)?;
    if let Some(Value::Object(fields)) = &mut answer {
        for list in ["nearest", "similar"] {
            for found in fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                let picture = found["picture"].as_u64().unwrap_or_default() as usize;
                found["name"] = json!(name_of(&explorer.index, picture));
            }
        }
        if matches!(question, Question::About) {
            // Pictures that a browser kept from another session are not these.
            fields.insert("session".into(), json!(session));
        }
        fields.insert("milliseconds".into(), json!(start.elapsed().as_secs_f64() * 1e3));
    }
    Ok(answer)
}

fn answer(question: &Question, explorer: &Explorer) -> Result<Option<Value>, Error> {
    let sight = |encoder: usize| explorer.sights.get(encoder);
    Ok(match *question {
        Question::About => Some(json!({ "pictures": explorer.index.len(), "encoders": explorer.encoders() })),
        Question::Like { encoder, picture, point } => sight(encoder)
            .filter(|_| point.iter().all(|share| (0.0..=1.0).contains(share)))
            .and_then(|sight| sight.like(picture, point, SHOWN))
            .map(|like| json!(like)),
        Question::Similar(OfPicture { encoder, picture }) => sight(encoder)
            .and_then(|sight| sight.similar(picture, SHOWN))
            .map(|similar| json!({ "similar": similar })),
        Question::Colours(OfPicture { encoder, picture }) => {
            sight(encoder).and_then(|sight| sight.colours(picture)).map(|colours| json!(colours))
        }
        Question::Categories(OfPicture { encoder, picture }) => {
            explorer.categories(encoder, picture)?.map(|layer| json!(layer))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_hosts() {
        for host in ["127.0.0.1", "localhost:8090", "[::1]:9000", "[::1]"] {
            assert!(is_of_this_machine(host), "{host}");
        }
        for host in ["evil.example", "evil.example:8090", "127.0.0.1.evil.example", "localhost:x", ""] {
            assert!(!is_of_this_machine(host), "{host}");
        }
    }
}
