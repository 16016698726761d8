"""The page as people use it: Chromium without a screen.

Skipped where Debian's chromium and chromium-driver are not installed, unless
VIFI_NEED_BROWSER=1 says that they must be. VIFI_PICTURES is a folder for
:func:`take_pictures`.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import vifi
from helpers import served

REPO = Path(__file__).parents[2]
PICTURES = os.environ.get('VIFI_PICTURES')
DRIVER = shutil.which('chromium') and shutil.which('chromedriver')
pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    not DRIVER and os.environ.get('VIFI_NEED_BROWSER') != '1',
    reason='no chromium and chromedriver (Debian: chromium-driver)')]
_FLAGS = ('headless', 'no-sandbox', 'disable-gpu', 'disable-quic',
          'disable-component-update', 'disable-dev-shm-usage',
          'use-fake-device-for-media-stream', 'use-fake-ui-for-media-stream',
          'window-size=1280,900', 'hide-scrollbars')


@pytest.fixture(scope='module')
def stream(content):
    with served(content) as address:
        yield address


@pytest.fixture(scope='module')
def server(examples, stream, tmp_path_factory):
    """The page's address; at the end SIGTERM must leave nothing."""
    pytest.importorskip('lancedb')
    folder = tmp_path_factory.mktemp('server')
    work, temp = folder / 'work', folder / 'temp'
    work.mkdir(), temp.mkdir()
    options = []
    if not PICTURES:
        options = ['--max-upload-mb', '2', '--index', folder / 'index']
        assert vifi('index', examples['Blue star'], examples['Purple moon'],
                    *options[2:], '--config', 'small_world') == 0
        options += ['--stream', stream]
    process = subprocess.Popen(
        [sys.executable, '-m', 'projects.vifi_clip_tools', 'demo', '--port',
         '0', *options], cwd=work, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env=dict(
            os.environ, TMPDIR=str(temp), OMP_NUM_THREADS='1',
            PYTHONPATH=str(REPO)))
    said = ''
    try:
        while 'The page is at ' not in said:
            line = process.stdout.readline()
            assert line, said  # it has ended
            said += line
        yield said.partition('The page is at ')[2].split()[0]
        process.send_signal(signal.SIGTERM)
        said += process.communicate(timeout=60)[0]
        assert process.returncode == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.wait()
    assert 'Traceback' not in said
    assert not list(temp.iterdir()) and not list(work.iterdir())


class Page:
    """A tab of the browser."""

    def __init__(self, driver, address):
        self.driver, self.address = driver, address

    def open(self):
        self.driver.get(self.address)
        self.until(lambda: self.find('#vifi-start'))
        return self

    def find(self, selector):
        return self.driver.find_elements('css selector', selector)

    def text(self, selector):
        return '\n'.join(e.text for e in self.find(selector))

    def until(self, ready):
        from selenium.common import exceptions
        from selenium.webdriver.support.ui import WebDriverWait
        # A page that builds itself anew exchanges elements under our hands.
        WebDriverWait(self.driver, 180, 0.05, (
            exceptions.StaleElementReferenceException,
            exceptions.InvalidElementStateException,
            exceptions.ElementClickInterceptedException)).until(
                lambda _: ready())

    def says(self, selector, text):
        self.until(lambda: text in self.text(selector))

    def press(self, name):
        def pressed():
            # Gradio measures its tabs on copies that nobody sees.
            for button in self.driver.find_elements('xpath', (
                    f'//button[normalize-space()="{name}" or @aria-label='
                    f'"{name}"][not(@tabindex="-1") or @role="tab"]')):
                if button.is_displayed():
                    button.click()
                    return True
        self.until(pressed)

    def type(self, selector, text):
        def typed():
            # Gradio builds a field some time after the frame around it.
            for box in self.find(f'{selector} textarea, {selector} input'):
                if box.get_attribute('type') != 'file':
                    box.clear()
                box.send_keys(str(text))
                return True
        self.until(typed)

    def resize(self, width, height):
        """Be a telephone below 600 pixels."""
        self.driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', dict(
            width=width, height=height, deviceScaleFactor=1,
            mobile=width < 600))


@pytest.fixture(scope='module')
def driver():
    from selenium import webdriver
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which('chromium')
    for flag in _FLAGS:
        options.add_argument(f'--{flag}')
    options.set_capability('goog:loggingPrefs', {'performance': 'ALL'})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(driver, server):
    yield Page(driver, server).open()
    driver.execute_cdp_cmd('Emulation.clearDeviceMetricsOverride', {})


def test_upload_type_labels_see_the_ranking(page, examples):
    page.type('#vifi-video', examples['Blue star'])
    page.says('#vifi-answer', 'blue_star.mp4: ')
    page.type('#vifi-labels', 'a green heart, a blue star\na purple moon')
    page.press('Recognise')
    page.says('.vifi-verdict', 'a blue star')
    assert len(page.find('.vifi-bar span')) == 3
    page.until(lambda: len(page.find('#vifi-frames img')) == 8)


def test_an_example_fills_every_tab(page):
    page.press('Three scenes')
    page.says('#vifi-frames figcaption', 'a red ring spinning')
    page.press('Attention')
    page.until(lambda: len(page.find('#vifi-attention img')) == 8)
    page.press('Over time')
    page.says('#vifi-timeline', 'a red ring spinning at the start')
    # The tab in view follows the next answer.
    page.press('Purple moon')
    page.says('#vifi-timeline', 'a purple moon')
    page.type('#vifi-window', '99')
    page.press('Score again')
    page.says('#vifi-timeline', '1 window of')


def test_errors_are_readable(page, tmp_path):
    bad, large = tmp_path / 'bad.mp4', tmp_path / 'large.mp4'
    bad.write_text('this is a text ' * 50)
    page.type('#vifi-video', bad)
    page.says('[role=alert]', 'bad.mp4')
    page.press('Blue star')
    page.says('.vifi-verdict', 'a blue star')
    assert not page.find('[role=alert].vifi-alert')
    page.type('#vifi-labels', ',')
    page.press('Recognise')
    page.says('[role=alert]', 'labels')
    assert not page.find('#vifi-frames img')  # of the last answer
    page.open()
    large.write_bytes(bytes(2_500_000))
    page.type('#vifi-video', large)
    page.says('body', 'exceed the maximum allowed size')


def test_camera(page):
    page.press('Capture from camera')
    page.press('Click to Access Webcam')
    page.press('Record')
    time.sleep(1.5)  # of film
    page.press('Stop')
    page.says('#vifi-answer', 'pixels')
    page.press('Recognise')
    page.says('.vifi-verdict', '%')


def test_search(page):
    page.press('Search')
    page.until(lambda: page.find('#vifi-query')[0].is_displayed())
    page.type('#vifi-query', 'a purple moon\n')
    page.says('#vifi-hits', '1. purple_moon.mp4')
    assert len(page.find('#vifi-hits img')) == 8


def test_a_stream(page):
    page.press('Streams')
    page.press('Start')
    page.says('#vifi-going', 'Delay')
    page.until(lambda: len(page.find('.vifi-log li')) >= 2)
    page.type('#vifi-stream-labels', 'a purple moon, a red ring')
    page.says('#vifi-watched .vifi-verdict', 'a purple moon')
    page.press('Stop')
    page.until(lambda: page.find('#vifi-stop')[0].get_attribute(
        'disabled') is not None)


def test_nothing_is_wider_than_a_telephone(page):
    page.resize(390, 900)
    page.open()
    page.until(lambda: page.driver.execute_script(
        'return document.documentElement.scrollWidth') == 390)
    page.press('Streams')  # no tab is hidden in Gradio's menu


def test_the_page_asks_no_other_site(page):
    """Of all that the tests above asked for, and this visit."""
    messages = [json.loads(entry['message'])['message']
                for entry in page.driver.get_log('performance')]
    asked = {message['params']['request']['url'] for message in messages
             if message['method'] == 'Network.requestWillBeSent'}
    assert any(url.startswith(page.address) for url in asked)
    assert not [url for url in asked if not url.startswith(
        (page.address, 'data:', 'blob:', 'chrome:', 'chrome-untrusted:'))]


def take_pictures(page):
    """Of docs/, by docs/make_pictures.sh."""
    for name, size in dict(desktop=(1280, 1080), phone=(390, 2200)).items():
        page.resize(*size)
        page.open().press('Purple moon')
        page.until(lambda: len(page.find('#vifi-frames img')) == 8)
        time.sleep(2)  # pictures and video are drawn
        page.driver.execute_script('window.scrollTo(0, 0)')
        page.driver.save_screenshot(f'{PICTURES}/demo_{name}.png')
